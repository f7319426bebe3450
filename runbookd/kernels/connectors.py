"""Connectors: the addresses under which cells reach production, and the proxy behind them.

One listener on the loopback address serves all sessions of a daemon. A kernel gets addresses such
as ``http://127.0.0.1:PORT/TOKEN/prometheus``; the token cannot be guessed, names one grant (a lane
of a session, with the connectors it may use), and dies with it. Credentials are added on the way
out and never reach a kernel. What one request may be is decided in :mod:`runbookd.kernels.paths`,
how it is passed on in :mod:`runbookd.kernels.forward`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any

import uvicorn

from runbookd.events import Lane
from runbookd.kernels.corked import CorkedH11
from runbookd.kernels.forward import Allow, Exchange, Ledger, OnRequest, answer
from runbookd.kernels.grants import HOST, ConnectorRule, Grant
from runbookd.kernels.upstreams import Resolve, Upstreams

__all__ = ["Allow", "ConnectorProxy", "ConnectorRule", "Grant", "OnRequest", "Resolve"]

_CONCURRENT = 256
_GRACE_S = 2


class ConnectorProxy:
    """The reverse proxy of a daemon: ``async with ConnectorProxy(...) as proxy``.

    Args:
        on_request: records every request, also refused ones.
        allow: says no, by raising, to requests whose intent cannot be recorded.
        resolve: turns secret references into values.

    Attributes:
        port: the loopback port it listens on, once it has been entered.
    """

    def __init__(self, on_request: OnRequest, allow: Allow, resolve: Resolve) -> None:
        self.port = 0
        self._ledger = Ledger(on_request, allow)
        self._upstreams = Upstreams(resolve)
        self._grants: dict[str, Grant] = {}

    async def __aenter__(self) -> "ConnectorProxy":
        self._socket = socket.create_server((HOST, 0))
        # asyncio sets this only on sockets made with an explicit protocol number. Without it the
        # end of a recorded answer waits 40 ms for the cell's delayed acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self._socket.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                self._serve,
                interface="asgi3",
                http=CorkedH11,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                limit_concurrency=_CONCURRENT,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._serving = asyncio.create_task(
            self._server.serve(sockets=[self._socket]), name="connectors"
        )
        await self._server.ready.wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for grant in self._grants.values():
            grant.revoke()
        self._server.should_exit = True
        try:
            await self._serving
        finally:
            self._socket.close()
            await self._upstreams.close()

    def grant(self, lane: Lane, rules: Iterable[ConnectorRule], execution: str = "") -> Grant:
        """A new grant, in force until it is revoked.

        Raises:
            PolicyError: a rule's allow-list cannot be understood.
            InputError: two rules have one name.
        """
        for token in [token for token, old in self._grants.items() if old.revoked]:
            del self._grants[token]
        made = Grant(lane, execution, rules, self.port)
        self._grants[made.token] = made
        return made

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        _, token, name, rest = [*scope["raw_path"].split(b"/", 3), b"", b"", b""][:4]
        grant = self._grants.get(token.decode("ascii", "replace"))
        if grant is None or grant.revoked:
            for message in answer(
                404, {"error": "runbookd: this address is not in use (any more)"}
            ):
                await send(message)
            return
        await Exchange(
            grant=grant,
            connector=name.decode("ascii", "replace"),
            raw_path=b"/" + rest,
            scope=scope,
            receive=receive,
            send=send,
            ledger=self._ledger,
            upstreams=self._upstreams,
        ).run()


class _Server(uvicorn.Server):
    """A server inside the daemon's own loop: signals are the daemon's business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
