"""An HTTP/1.1 server protocol that writes what it has to say at one moment in one piece.

uvicorn writes the head of an answer, its body and its end one by one, which costs a system call
each, and the reader is woken for each.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol


class CorkedH11(H11Protocol):
    """uvicorn's own protocol over a :class:`_Cork`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the cork between."""
        super().connection_made(cast("asyncio.Transport", _Cork(transport, self.loop)))


class _Cork:
    """A transport that keeps what is written until the loop's next turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._kept: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write with all else that is written before the next turn."""
        if not data:
            return
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(data)

    def close(self) -> None:
        """Close, once all is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._kept:
            data, self._kept = b"".join(self._kept), []
            self._transport.write(data)
