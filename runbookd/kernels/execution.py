"""One execution in a kernel: what was asked, what has come back, and how it ended."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from runbookd.events import CellStatus
from runbookd.kernels.outputs import Gathering

_ERROR_CHARS = 64 * 1024
"""More than anybody shows: who shows it takes the secrets out first, and then cuts."""


@dataclass(frozen=True)
class Outcome:
    """How an execution ended. ``error`` is empty for ``ok``, else what went wrong.

    It is as the kernel said it: to be redacted before it is cut or shown.
    """

    status: CellStatus
    duration_ms: int
    error: str = ""


class Execution:
    """One execution under way. Times are of the monotonic clock, in seconds.

    Attributes:
        request: the id of the request, which its answers carry.
        outputs: what it has put out and nobody has taken yet.
        changed: set when there is something to look at.
        reply: the content of the kernel's answer, once it is there.
        idle: whether the kernel has said that all output is out.
        stopped: why it was interrupted, if it was.
        stopping: set once it was interrupted; it is killed if it goes on beyond the grace period.
        heard: when the last message about it came.
        ended: when both answer and end of output had come.
    """

    def __init__(self, request: str, limit: int, remedy: str = "") -> None:
        self.request = request
        self.outputs = Gathering(limit, remedy)
        self.changed = asyncio.Event()
        self.reply: Mapping[str, object] | None = None
        self.idle = False
        self.stopped: Literal["timeout", "interrupted"] | None = None
        self.stopping = asyncio.Event()
        self.started = time.monotonic()
        self.heard = self.started
        self.ended: float | None = None

    def finish_part(self) -> None:
        """Note that the answer, or the end of the output, has come."""
        if self.reply is not None and self.idle and self.ended is None:
            self.ended = time.monotonic()
        self.changed.set()

    @property
    def duration_ms(self) -> int:
        """Milliseconds from the request to the end, or to now."""
        return round(((self.ended or time.monotonic()) - self.started) * 1000)

    def outcome(self, timeout_s: float, gone: str) -> Outcome:
        """How it ended.

        Args:
            timeout_s: the limit it had.
            gone: if the kernel is gone, how that came.
        """
        if self.stopped == "timeout":
            killed = "" if self.ended else " and had to be killed"
            return Outcome(
                "timeout", self.duration_ms, f"it ran longer than {timeout_s:g} s{killed}"
            )
        if self.ended is None:
            return Outcome(self.stopped or "died", self.duration_ms, f"the kernel is gone: {gone}")
        reply = self.reply or {}
        if reply.get("status") == "ok":
            return Outcome("ok", self.duration_ms)
        error = f"{reply.get('ename', '')}: {reply.get('evalue', '')}".strip(": ")[:_ERROR_CHARS]
        if self.stopped is not None or reply.get("status") in {"abort", "aborted"}:
            return Outcome("interrupted", self.duration_ms, error)
        return Outcome("error", self.duration_ms, error or "the cell failed")
