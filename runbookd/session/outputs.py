"""From what a kernel says to what the record holds: redacted first, in line when short."""

from collections.abc import Mapping

from runbookd.events import CellOutput, Content, OutputChannel, OutputData
from runbookd.record.blobs import BlobStore
from runbookd.record.redaction import Redactor
from runbookd.session.journal import Journal

INLINE_BYTES = 16 * 1024
"""Longer contents become blobs."""

_TOGETHER = 8
"""Contents in one event. So many of the longest, every character escaped, still fit into a line."""

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

    async def take(self, channel: OutputChannel, mimes: Mapping[str, str | bytes]) -> None:
        """Record one output; several ``mimes`` are representations of the same thing."""
        if channel in self._streams:
            text = self._streams[channel].feed(_text(mimes.get("text/plain", "")))
            if text:
                await self._record(channel, {"text/plain": text})
            return
        await self._record(channel, {mime: self._clean(value) for mime, value in mimes.items()})

    async def finish(self) -> None:
        """Record what the redactor held back."""
        for channel, stream in self._streams.items():
            text = stream.flush()
            if text:
                await self._record(channel, {"text/plain": text})

    def _clean(self, value: str | bytes) -> str | bytes:
        return value if isinstance(value, bytes) else self._redactor.text(value)[0]

    async def _record(self, channel: OutputChannel, mimes: Mapping[str, str | bytes]) -> None:
        contents = [await self._content(mime, value) for mime, value in mimes.items()]
        for start in range(0, len(contents), _TOGETHER):
            some = tuple(contents[start : start + _TOGETHER])
            data = OutputData(execution=self._execution, channel=channel, contents=some)
            event = CellOutput(cell=self._cell, request=self._request, data=data)
            await self._journal.append(event)

    async def _content(self, mime: str, value: str | bytes) -> Content:
        mime = self._redactor.text(mime)[0]
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
        if isinstance(value, str) and len(raw) <= INLINE_BYTES:
            return Content(mime=mime, bytes=len(raw), text=value)
        return Content(mime=mime, bytes=len(raw), blob=await self._blobs.put(raw))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
