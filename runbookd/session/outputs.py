"""From what a kernel says to what the record holds: redacted first, in line when short.

Long texts are redacted in a thread and in pieces, so that nobody else waits for them. Short outputs
are recorded together: a write to the disk for each would take longer than the cell itself.
"""

import asyncio
from collections.abc import Mapping

from runbookd.events import CellOutput, Content, OutputChannel, OutputData
from runbookd.record.blobs import BlobStore
from runbookd.record.redaction import Redactor, StreamRedactor
from runbookd.session.journal import Journal

INLINE_BYTES = 16 * 1024
"""Longer contents become blobs."""

_TOGETHER = 8
"""Contents in one event. So many of the longest, every character escaped, still fit into a line."""

_PIECE = 64 * 1024
"""Characters that are redacted at once. Regular expressions keep every other thread waiting."""

_AT_ONCE = 32
_BYTES_AT_ONCE = 64 * 1024
"""Events in one write, and what stands in them. Sealing them takes milliseconds, in which nothing
else happens."""

_STREAMS: tuple[OutputChannel, ...] = ("stdout", "stderr")


class OutputSink:
    """Records the output of one execution."""

    def __init__(
        self,
        journal: Journal,
        blobs: BlobStore,
        redactor: Redactor,
        *,
        execution: str,
        cell: str | None,
        request: str | None,
    ) -> None:
        self._journal = journal
        self._blobs = blobs
        self._redactor = redactor
        self._execution = execution
        self._cell = cell
        self._request = request
        self._streams = {channel: redactor.stream() for channel in _STREAMS}
        self._waiting: list[CellOutput] = []
        self._waiting_bytes = 0

    async def take(
        self, channel: OutputChannel, mimes: Mapping[str, str | bytes], cut: bool = False
    ) -> None:
        """Take one output; it is recorded with others, at the latest by :meth:`settle`.

        Args:
            channel: where it came out.
            mimes: its representations.
            cut: a text ends where it does only because the rest was not kept. What could be the
                beginning of a secret there is left out.
        """
        if channel in self._streams:
            text = await _fed(self._streams[channel], _text(mimes.get("text/plain", "")))
            if cut:
                self._streams[channel] = self._redactor.stream()
            if text:
                await self._record(channel, {"text/plain": text})
            return
        clean = {mime: await self._clean(value, cut=cut) for mime, value in mimes.items()}
        await self._record(channel, clean)

    async def settle(self) -> None:
        """Record everything that was taken."""
        events, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if events:
            await self._journal.append(*events)

    async def finish(self) -> None:
        """Record what the redactor held back, too: nothing more will come."""
        for channel, stream in self._streams.items():
            text = stream.flush()
            if text:
                await self._record(channel, {"text/plain": text})
        await self.settle()

    async def _clean(self, value: str | bytes, *, cut: bool) -> str | bytes:
        if isinstance(value, bytes):
            return value
        if len(value) <= _PIECE and not cut:
            return self._redactor.text(value)[0]
        stream = self._redactor.stream()
        text = await _fed(stream, value)
        return text if cut else text + stream.flush()

    async def _record(self, channel: OutputChannel, mimes: Mapping[str, str | bytes]) -> None:
        contents = [await self._content(mime, value) for mime, value in mimes.items()]
        for start in range(0, len(contents), _TOGETHER):
            some = tuple(contents[start : start + _TOGETHER])
            data = OutputData(execution=self._execution, channel=channel, contents=some)
            event = CellOutput(cell=self._cell, request=self._request, data=data)
            self._waiting.append(event)
            self._waiting_bytes += sum(content.bytes for content in some if content.blob is None)
            if len(self._waiting) >= _AT_ONCE or self._waiting_bytes >= _BYTES_AT_ONCE:
                await self.settle()

    async def _content(self, mime: str, value: str | bytes) -> Content:
        mime = self._redactor.text(mime)[0]
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
        if isinstance(value, str) and len(raw) <= INLINE_BYTES:
            return Content(mime=mime, bytes=len(raw), text=value)
        return Content(mime=mime, bytes=len(raw), blob=await self._blobs.put(raw))


async def _fed(stream: StreamRedactor, text: str) -> str:
    """What ``stream`` lets go of when it gets ``text``."""
    if len(text) <= _PIECE:
        return stream.feed(text)
    pieces = [
        await asyncio.to_thread(stream.feed, text[start : start + _PIECE])
        for start in range(0, len(text), _PIECE)
    ]
    return "".join(pieces)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
