"""One request through a connector: checked, passed on, answered and recorded.

Bodies are streamed both ways; which headers go along is decided in
:mod:`runbookd.kernels.headers`. Redirects within the upstream are rewritten to the proxy's address
(the next request is then checked like any other), others are refused.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urljoin

import httpx

from runbookd.errors import RunbookdError, SecretUnavailable
from runbookd.events import ConnectorData
from runbookd.kernels.grants import ConnectorRule, Grant
from runbookd.kernels.headers import outgoing, returning
from runbookd.kernels.paths import NotPlain, encoded, is_allowed, overrides_method, plain_path
from runbookd.kernels.upstreams import Upstream, Upstreams

Message = dict[str, Any]
"""An ASGI message."""

_READS = frozenset({"GET", "HEAD"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BODILESS = frozenset({204, 205, 304})
CELL_GONE = 499
"""The status that is recorded when the cell went away before an answer began."""

OnRequest = Callable[[Grant, ConnectorData], Awaitable[None]]
"""Records one request; awaited before its answer is complete. If it raises, nothing more passes."""

Allow = Callable[[Grant, str, str], Awaitable[None]]
"""Asked with method and path before a request that may change something is passed on.

Raises RecordUnwritable, or any other RunbookdError, when it must not happen.
"""


class Ledger:
    """Where requests are recorded. Once that failed for a grant, nothing more passes under it."""

    def __init__(self, on_request: OnRequest, allow: Allow) -> None:
        self.allow = allow
        self._on_request = on_request

    async def record(self, grant: Grant, data: ConnectorData) -> None:
        """Have a request recorded. Raises what the recorder raises."""
        try:
            await self._on_request(grant, data)
        except BaseException:
            grant.failed = True
            raise


class _CellGone(Exception):
    """The cell hung up, or its grant was revoked."""


class _Answered(Exception):
    """The request goes no further; the proxy answers it itself."""

    def __init__(self, status: int, error: str, *, refused: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.refused = refused


def answer(status: int, body: Mapping[str, str], *, refused: bool = False) -> list[Message]:
    """The messages of a JSON answer of the proxy's own."""
    data = json.dumps(body).encode() + b"\n"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(data)).encode()),
    ]
    if refused:
        headers.append((b"x-runbookd-refused", b"1"))
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": data},
    ]


class Exchange:
    """One request of a cell and everything that becomes of it."""

    def __init__(
        self,
        *,
        grant: Grant,
        connector: str,
        raw_path: bytes,
        scope: Mapping[str, Any],
        receive: Any,
        send: Any,
        ledger: Ledger,
        upstreams: Upstreams,
    ) -> None:
        self._grant = grant
        self._connector = connector
        self._raw_path = raw_path
        self._method: str = scope["method"]
        self._query: bytes = scope["query_string"]
        self._headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self._receive = receive
        self._send = send
        self._ledger = ledger
        self._upstreams = upstreams
        self._path = raw_path.decode("ascii", "replace")
        self._execution = grant.execution
        self._started = time.monotonic()
        self._status = CELL_GONE
        self._bytes = 0
        self._begun = False
        self._body_read = asyncio.Event()

    async def run(self) -> None:
        """Serve the request. Exactly one event is recorded, before the answer is complete."""
        refused = ""
        last: list[Message] = []
        try:
            last = await self._unless_gone(self._pass_on())
        except _CellGone:
            pass
        except _Answered as own:
            refused = own.refused
            if not self._begun:
                self._status = own.status
                last = self._own_answer(own.status, own.error, refused=bool(refused))
        try:
            await self._ledger.record(self._grant, self._event(refused))
        except RunbookdError as error:
            if self._begun:
                return
            last = self._own_answer(503, f"this request could not be recorded: {error.message}")
        for message in last:
            await self._send(message)

    # --- checks -------------------------------------------------------------------------------

    async def _pass_on(self) -> list[Message]:
        """Pass the request on and stream the answer; returns what may be sent once recorded."""
        rule = self._checked()
        if self._grant.failed:
            raise _Answered(503, "requests can no longer be recorded, so none is passed on")
        if self._method not in _READS:
            try:
                await self._ledger.allow(self._grant, self._method, self._path)
            except RunbookdError as error:
                raise _Answered(503, f"nothing was sent: {error.message}") from None
        try:
            upstream = await self._upstreams.to(rule)
        except SecretUnavailable as error:
            raise _Answered(502, f"nothing was sent: {error.message}") from None
        return await self._exchange(rule, upstream)

    def _checked(self) -> ConnectorRule:
        """The rule that allows this request.

        Raises:
            _Answered: none does; a refusal.
        """
        rule = self._grant.rules.get(self._connector)
        if rule is None:
            raise self._refusal(f"has no connector {self._connector[:100]!r} for this cell")
        names = [name for name, _ in self._headers]
        if b"upgrade" in names:
            raise self._refusal(f"does not let connections to {rule.name} be upgraded")
        if b"transfer-encoding" in names and b"content-length" in names:
            raise self._refusal("passes on no request whose length is stated twice")
        try:
            self._path = plain_path(self._raw_path)
        except NotPlain as error:
            raise self._refusal(f"passes on plain paths only, and here is {error}") from None
        if overrides_method(self._query):
            raise self._refusal("passes on no request that asks to be taken for another method")
        allowed = self._grant.allowed[rule.name]
        if not is_allowed(allowed, self._method, self._path):
            listed = ", ".join(map(str, allowed)) or "nothing"
            raise self._refusal(
                f"allows {listed} on {rule.name}; {self._method} {self._path} is refused"
            )
        return rule

    def _refusal(self, why: str) -> _Answered:
        sentence = f"the {self._grant.lane} lane {why}"
        return _Answered(403, sentence, refused=sentence)

    # --- the exchange -------------------------------------------------------------------------

    async def _exchange(self, rule: ConnectorRule, upstream: Upstream) -> list[Message]:
        request = self._request(rule, upstream)
        try:
            response = await upstream.transport.handle_async_request(request)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._upstream_failed(rule, error) from None
        try:
            return await self._relay(rule, upstream, request, response)
        except httpx.HTTPError as error:
            raise self._upstream_failed(rule, error) from None
        finally:
            await response.aclose()

    def _request(self, rule: ConnectorRule, upstream: Upstream) -> httpx.Request:
        length = [value for name, value in self._headers if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _ in self._headers)
        has_body = chunked or (bool(length) and length[0] != b"0")
        if not has_body:
            self._body_read.set()
        base = upstream.url.raw_path.rstrip(b"/")
        target = base + encoded(self._path).encode() + (b"?" + self._query if self._query else b"")
        limits = {
            "connect": rule.connect_s,
            "read": rule.silence_s,
            "write": rule.silence_s,
            "pool": rule.connect_s,
        }
        try:
            headers = outgoing(self._headers, upstream.headers)
            headers += [(b"content-length", value) for value in length[:1]]
            return httpx.Request(
                self._method,
                upstream.url.copy_with(raw_path=target),
                headers=headers,
                content=self._body() if has_body else None,
                extensions={"timeout": limits},
            )
        except (httpx.InvalidURL, ValueError, TypeError):
            why = f"the address of {rule.name} or its credential is unusable"
            raise _Answered(502, why) from None

    async def _body(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise _CellGone
            yield message.get("body", b"")
            more = message.get("more_body", False)
        self._body_read.set()

    def _upstream_failed(self, rule: ConnectorRule, error: Exception) -> _Answered:
        # Texts of other errors may quote what was sent, and with it the credential.
        detail = f" ({error})" if isinstance(error, httpx.ConnectError) else ""
        sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        unknown = "; whether the request took effect is unknown"
        doubt = unknown if sent and self._method not in _READS else ""
        if isinstance(error, httpx.TimeoutException):
            return _Answered(504, f"{rule.name} did not answer in time{doubt}")
        return _Answered(502, f"{rule.name} could not be reached or broke off{detail}{doubt}")

    async def _relay(
        self,
        rule: ConnectorRule,
        upstream: Upstream,
        request: httpx.Request,
        response: httpx.Response,
    ) -> list[Message]:
        headers = returning(response.headers.raw, upstream.headers.values())
        location = response.headers.get("location")
        if location is not None:
            inside = self._inside(upstream.url, request.url, location)
            if inside is None and response.status_code in _REDIRECTS:
                why = f"{rule.name} redirects to another place, which connectors do not follow"
                raise _Answered(502, why, refused=why)
            headers = [
                (name, inside.encode() if name == b"location" and inside else value)
                for name, value in headers
            ]
        self._status = response.status_code
        start = {"type": "http.response.start", "status": self._status, "headers": headers}
        final: Message = {"type": "http.response.body", "body": b""}
        if self._method == "HEAD" or self._status in _BODILESS:
            return [start, final]
        return await self._stream(response, start, final)

    async def _stream(
        self, response: httpx.Response, start: Message, final: Message
    ) -> list[Message]:
        """Send all but the end.

        Where the length is known the cell has everything once the last byte is there, so a piece
        is always held back. Without a length pieces go at once (somebody watches), and what is
        held back is the mark of the end.
        """
        sized = "content-length" in response.headers
        held = [start]
        if not sized:
            await self._send_now(held)
            held = []
        async for chunk in response.aiter_raw():
            self._bytes += len(chunk)
            piece: Message = {"type": "http.response.body", "body": chunk, "more_body": True}
            ready, held = (held, [piece]) if sized else ([piece], [])
            await self._send_now(ready)
        return [*held, final]

    async def _send_now(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._begun = True
            await self._send(message)

    def _inside(self, base: httpx.URL, asked: httpx.URL, location: str) -> str | None:
        """A redirect's address as the cell has to ask for it; None if it leads elsewhere."""
        try:
            target = httpx.URL(urljoin(str(asked), location))
        except (httpx.InvalidURL, ValueError):
            return None
        if _origin(target) != _origin(base):
            return None
        prefix = base.raw_path.rstrip(b"/").decode("ascii")
        path = target.raw_path.decode("ascii")
        if not path.startswith(prefix + "/"):
            return None
        return f"/{self._grant.token}/{self._connector}{path[len(prefix) :]}"

    async def _unless_gone(self, work: Awaitable[list[Message]]) -> list[Message]:
        """The result of ``work``, which is broken off when nobody waits for it any more."""
        working = asyncio.ensure_future(work)
        hung_up = asyncio.ensure_future(self._hung_up())
        revoked = asyncio.ensure_future(self._grant.revoked.wait())
        waiting: set[asyncio.Future[Any]] = {working, hung_up, revoked}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise _CellGone
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _hung_up(self) -> None:
        await self._body_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # --- words --------------------------------------------------------------------------------

    def _own_answer(self, status: int, error: str, *, refused: bool = False) -> list[Message]:
        body = {
            "error": f"runbookd: {error}",
            "lane": self._grant.lane,
            "connector": self._connector[:100],
        }
        return answer(status, body, refused=refused)

    def _event(self, refused: str) -> ConnectorData:
        return ConnectorData(
            execution=self._execution,
            lane=self._grant.lane,
            connector=self._connector[:100],
            method=self._method[:50],
            path=self._path[:2000],
            status=self._status,
            bytes=self._bytes,
            duration_ms=round((time.monotonic() - self._started) * 1000),
            refused=refused,
        )


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return (url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme))
