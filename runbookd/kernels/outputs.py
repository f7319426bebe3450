"""What a cell puts out: from Jupyter's iopub messages to a few pieces worth recording.

Text that a cell prints is gathered for 50 ms or 64 KiB, whichever comes first, so that a flood
costs hundreds of pieces and not hundreds of thousands. Beyond the limit of an execution nothing is
kept, and the output itself says so. Message format: Jupyter messaging protocol 5.
"""

import base64
import binascii
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbookd.events import OutputChannel
from runbookd.visible import one_line

GATHER_S = 0.05
GATHER_CHARS = 64 * 1024

# A piece costs more than its characters: a line in the record, a blob, a row on a screen.
_PIECE_COST = 1000
_ERROR_RESERVE = 64 * 1024


@dataclass(frozen=True)
class KernelOutput:
    """One piece of output. ``mimes`` holds the representations of the same thing.

    Text is ``str`` and can be encoded as UTF-8; images and other binary types are ``bytes``.
    ``cut`` says that a text went on, and that the rest was not kept: its end may be half a secret.
    """

    channel: OutputChannel
    mimes: Mapping[str, str | bytes]
    cut: bool = False


class Gathering:
    """The outputs of one execution, on their way from the kernel to whoever records them.

    Args:
        limit: bytes of output that are kept.
        remedy: what to do about the limit, for the note that says that it was reached.
    """

    def __init__(self, limit: int, remedy: str = "") -> None:
        self._limit = limit
        self._remedy = f"; {remedy}" if remedy else ""
        self._used = 0
        self._full = False
        self._last_error_kept = False
        self._ready: deque[KernelOutput] = deque()
        self._channel: OutputChannel = "stdout"
        self._text: list[str] = []
        self._chars = 0
        self._since = 0.0

    @property
    def due(self) -> float | None:
        """When the next piece should be taken, on the clock given to :meth:`add`; None: nothing."""
        if self._ready:
            return 0.0
        return self._since + GATHER_S if self._text else None

    def add(self, kind: str, content: Mapping[str, Any], now: float) -> None:
        """Take the content of an iopub message of type ``kind``; what is no output is ignored."""
        match kind:
            case "stream":
                self._add_text(
                    "stderr" if content.get("name") == "stderr" else "stdout",
                    _clean(content.get("text")),
                    now,
                )
            case "execute_result":
                self._add_mimes("result", content.get("data"))
            case "display_data" | "update_display_data":
                self._add_mimes("display", content.get("data"))
            case "error":
                self._add_error(content)
            case _:
                return

    def leave_out(self, size: int) -> None:
        """Say that one output of ``size`` bytes was too long to be kept."""
        self._close()
        note = f"[runbookd: one output of {size} bytes was not kept{self._remedy}]\n"
        self._used += _PIECE_COST
        if not self._full:
            self._ready.append(KernelOutput("stderr", {"text/plain": note}))
        self._note_overflow()

    def take(self, now: float) -> list[KernelOutput]:
        """The pieces that are due at ``now``, in order."""
        if self._text and now >= self._since + GATHER_S:
            self._close()
        return self._drain()

    def flush(self) -> list[KernelOutput]:
        """All that is left, at the end of an execution."""
        self._close()
        return self._drain()

    def _drain(self) -> list[KernelOutput]:
        taken = list(self._ready)
        self._ready.clear()
        return taken

    def _add_text(self, channel: OutputChannel, text: str, now: float) -> None:
        if self._full or not text:
            return
        data = text.encode()
        room = self._limit - self._used
        if len(data) > room:
            text = data[:room].decode(errors="ignore")
        self._used += len(data)
        self._gather(channel, text, now)
        self._note_overflow(cut=True)

    def _gather(self, channel: OutputChannel, text: str, now: float) -> None:
        if channel != self._channel:
            self._close()
        if not self._text:
            self._channel = channel
            self._since = now
        self._text.append(text)
        self._chars += len(text)
        if self._chars >= GATHER_CHARS:
            self._close()

    def _close(self, *, cut: bool = False) -> None:
        if self._text or cut:
            text = "".join(self._text)
            self._ready.append(KernelOutput(self._channel, {"text/plain": text}, cut))
            self._text = []
            self._chars = 0

    def _add_mimes(self, channel: OutputChannel, data: Any) -> None:
        if self._full or not isinstance(data, Mapping) or not data:
            return
        mimes = {
            one_line(str(mime), 255): _decoded(str(mime), value) for mime, value in data.items()
        }
        self._used += sum(_PIECE_COST + _size(value) for value in mimes.values())
        self._close()
        if self._used <= self._limit:
            self._ready.append(KernelOutput(channel, mimes))
        self._note_overflow()

    def _add_error(self, content: Mapping[str, Any]) -> None:
        traceback = content.get("traceback")
        lines = [_clean(line) for line in traceback] if isinstance(traceback, list) else []
        text = (
            "\n".join(lines) or f"{_clean(content.get('ename'))}: {_clean(content.get('evalue'))}"
        )
        # An error is worth having even where the limit is used up: once, and not without end.
        if self._full and self._last_error_kept:
            return
        self._last_error_kept = self._full
        cut = len(text) > _ERROR_RESERVE
        text = text[:_ERROR_RESERVE]
        self._used += _PIECE_COST + _size(text)
        self._close()
        self._ready.append(KernelOutput("error", {"text/plain": text}, cut))
        self._note_overflow()

    def _note_overflow(self, *, cut: bool = False) -> None:
        if self._used > self._limit and not self._full:
            self._full = True
            self._close(cut=cut)
            note = f"[runbookd: output beyond {self._limit} bytes was not kept{self._remedy}]\n"
            self._ready.append(KernelOutput("stderr", {"text/plain": note}))


def _clean(value: Any) -> str:
    """Text that UTF-8 can hold: a lone surrogate becomes its escape."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def _decoded(mime: str, value: Any) -> str | bytes:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=True)
    if _is_binary(mime):
        try:
            return base64.b64decode(value, validate=False)
        except (binascii.Error, ValueError):
            return _clean(value)
    return _clean(value)


def _is_binary(mime: str) -> bool:
    return mime == "application/pdf" or (mime.startswith("image/") and mime != "image/svg+xml")


def _size(value: str | bytes) -> int:
    return len(value) if isinstance(value, bytes) else len(value.encode())
