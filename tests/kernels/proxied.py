"""A connectors' proxy, an upstream that notes what reaches it, and how tests speak to both."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn

from runbookd.errors import RecordUnwritable, SecretUnavailable
from runbookd.events import ConnectorData
from runbookd.kernels.connectors import ConnectorProxy, ConnectorRule, Grant

SECRET = "Bearer very-secret-token"


@dataclass
class Seen:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Backend:
    """An upstream that notes what reaches it, and answers as the path says."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["raw_path"].decode()
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        query = scope["query_string"].decode()
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        self.seen.append(
            Seen(scope["method"], path + ("?" + query if query else ""), headers, body)
        )
        status, extra = 200, {}
        match path.removeprefix("/base").split("/"):
            case ["", "status", code]:
                status = int(code)
            case ["", "redirect", *_]:
                status, extra = 302, {"location": query}
            case ["", "cookie"]:
                extra = {
                    "set-cookie": "session=1",
                    "x-echo": f"you sent {SECRET}",
                    "x-fine": "kept",
                    "x-runbookd-refused": "1",
                    "connection": "x-hop",
                    "x-hop": "1",
                }
            case ["", "stream"]:
                await self._stream(send, receive)
                return
            case ["", "cut"]:
                start = {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"100")],
                }
                await send(start)
                await send({"type": "http.response.body", "body": b"half", "more_body": True})
                return
            case ["", "slow"]:
                await self.release.wait()
            case _:
                pass
        content = b"" if status in (204, 304) else b"x" * 200_000 if path == "/big" else b"hello"
        answer = {"content-length": str(len(content)), **extra}
        if status in (204, 304):
            del answer["content-length"]
        pairs = [(name.encode(), value.encode()) for name, value in answer.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": content})

    async def _stream(self, send: Any, receive: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        released = asyncio.create_task(self.release.wait())
        gone = asyncio.create_task(receive())
        await asyncio.wait({released, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not released.done():
            self.hung_up.set()
        for task in (released, gone):
            task.cancel()
        await asyncio.gather(released, gone, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"last\n"})


class Server(uvicorn.Server):
    def __init__(self, app: Any, **more: Any) -> None:
        super().__init__(
            uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, **more)
        )
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    made = Backend()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made.port = listener.getsockname()[1]
        server = Server(made)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await server.ready.wait()
        yield made
        made.release.set()
        server.should_exit = True
        await serving


@dataclass
class Bench:
    """A proxy, what it recorded, and knobs to make recording fail."""

    proxy: ConnectorProxy
    events: list[ConnectorData] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    fail_record: bool = False
    fail_allow: bool = False
    secrets: dict[str, str] = field(default_factory=lambda: {"env:TOKEN": SECRET})
    recorded: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_request(self, grant: Grant, data: ConnectorData) -> None:
        if self.fail_record:
            raise RecordUnwritable("the disk is full", "make room")
        self.events.append(data)
        self.recorded.set()

    async def allow(self, grant: Grant, method: str, path: str) -> None:
        self.asked.append((method, path))
        if self.fail_allow:
            raise RecordUnwritable("the disk is full", "make room")

    async def resolve(self, reference: str) -> str:
        if reference not in self.secrets:
            raise SecretUnavailable(f"{reference} cannot be resolved")
        return self.secrets[reference]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench.__new__(Bench)
    proxy = ConnectorProxy(
        lambda grant, data: made.on_request(grant, data),
        lambda grant, method, path: made.allow(grant, method, path),
        lambda reference: made.resolve(reference),
    )
    Bench.__init__(made, proxy)
    async with proxy:
        yield made


def rule(backend: Backend, *allow: str, **more: Any) -> ConnectorRule:
    return ConnectorRule(
        **{
            "name": "checkout-admin",
            "url": backend.url,
            "allow": allow or ("GET /*",),
            "headers": {"Authorization": "env:TOKEN"},
            **more,
        }
    )


def address(grant: Grant) -> str:
    return grant.env["CHECKOUT_ADMIN_URL"]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as made:
        yield made


async def raw(grant: Grant, text: str | bytes) -> bytes:
    """Send bytes as they are; the answer, read until the connection is closed."""
    data = text.encode() if isinstance(text, str) else text
    reader, writer = await asyncio.open_connection("127.0.0.1", grant.port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def request(grant: Grant, target: str, method: str = "GET", *headers: str, body: str = "") -> str:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return "\r\n".join(lines) + "\r\n\r\n" + body
