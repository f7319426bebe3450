"""One request through a connector: checked, passed on, answered and recorded.

Bodies are streamed both ways; which headers go along is decided in
:mod:`runbookd.kernels.headers`. Redirects within the upstream are rewritten to the proxy's address
(the next request is then checked like any other), others are refused.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import aiohttp
import structlog
from yarl import URL

from runbookd.errors import RunbookdError, SecretUnavailable
from runbookd.events import ConnectorData
from runbookd.kernels.grants import ConnectorRule, Grant
from runbookd.kernels.headers import outgoing, returning
from runbookd.kernels.paths import NotPlain, encoded, is_allowed, overrides_method, plain_path
from runbookd.kernels.upstreams import Upstream, Upstreams

_log = structlog.get_logger(__name__)

Message = dict[str, Any]
"""An ASGI message."""

_READS = frozenset({"GET", "HEAD"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BODILESS = frozenset({204, 205, 304})
# Headers that the client would add of its own accord; a cell's request goes on as it was.
_NOT_BY_ITSELF = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
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
        self._body_failed: _CellGone | _Answered | None = None
        self._target = ""

    async def run(self) -> None:
        """Serve the request. Exactly one event is recorded, before the answer is complete."""
        refused = ""
        last: list[Message] = []
        try:
            last = await self._unless_gone(self._pass_on())
        except _CellGone:
            # Heard only where the grant was revoked and the cell still listens.
            if not self._begun:
                last = self._own_answer(503, "this address is not in use any more")
        except _Answered as own:
            refused = own.refused
            if not self._begun:
                self._status = own.status
                last = self._own_answer(own.status, own.error, refused=bool(refused))
        except Exception as error:  # noqa: BLE001 - whatever happened has to be recorded
            _log.error("connector.failed", connector=self._connector, error=type(error).__name__)
            if not self._begun:
                self._status = 502
                last = self._own_answer(502, "the upstream's answer cannot be passed on")
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
        try:
            async with asyncio.timeout(rule.total_s), self._asked(rule, upstream) as response:
                # Whatever is left of the body is of no interest; hanging up is.
                self._body_read.set()
                return await self._relay(rule, upstream, response)
        except (aiohttp.ClientError, OSError) as error:
            # What a body raises while it is sent arrives as a connection error.
            if self._body_failed is not None:
                raise self._body_failed from None
            raise self._upstream_failed(rule, error) from None

    def _asked(self, rule: ConnectorRule, upstream: Upstream) -> Any:
        """The request, to be entered: its response."""
        length = [value for name, value in self._headers if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _ in self._headers)
        has_body = chunked or (bool(length) and length[0] != b"0")
        if length and int(length[0]) > rule.max_request:
            raise self._too_long(rule)
        if not has_body:
            self._body_read.set()
        query = "?" + self._query.decode("ascii") if self._query else ""
        self._target = upstream.url + encoded(self._path) + query
        try:
            headers = outgoing(self._headers, upstream.headers)
            headers += [("content-length", value.decode("ascii")) for value in length[:1]]
            return upstream.session.request(
                self._method,
                URL(self._target, encoded=True),
                headers=headers,
                skip_auto_headers=_NOT_BY_ITSELF,
                data=self._body(rule) if has_body else None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=rule.connect_s,
                    sock_connect=rule.connect_s,
                    sock_read=rule.silence_s,
                ),
            )
        except (ValueError, TypeError):
            raise self._unusable(rule) from None

    def _unusable(self, rule: ConnectorRule) -> _Answered:
        return _Answered(502, f"the address of {rule.name} or its credential is unusable")

    def _too_long(self, rule: ConnectorRule) -> _Answered:
        why = (
            f"the {self._grant.lane} lane sends at most {rule.max_request} bytes to {rule.name} "
            "at a time"
        )
        return _Answered(413, why, refused=why)

    async def _body(self, rule: ConnectorRule) -> AsyncIterator[bytes]:
        more, sent = True, 0
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                self._body_failed = _CellGone()
                raise self._body_failed
            sent += len(message.get("body", b""))
            if sent > rule.max_request:
                self._body_failed = self._too_long(rule)
                raise self._body_failed
            yield message.get("body", b"")
            more = message.get("more_body", False)
        self._body_read.set()

    def _upstream_failed(self, rule: ConnectorRule, error: Exception) -> _Answered:
        if isinstance(error, aiohttp.InvalidURL):
            return self._unusable(rule)
        # Texts of other errors may quote what was sent, and with it the credential.
        unreached = isinstance(error, aiohttp.ClientConnectorError)
        detail = f" ({error})" if unreached else ""
        sent = not (unreached or isinstance(error, aiohttp.ConnectionTimeoutError))
        unknown = "; whether the request took effect is unknown"
        doubt = unknown if sent and self._method not in _READS else ""
        name = f"the upstream of {rule.name}"
        if isinstance(error, TimeoutError):
            return _Answered(504, f"{name} did not answer in time{doubt}")
        if unreached:
            return _Answered(502, f"{name} could not be reached{detail}")
        return _Answered(502, f"{name} broke off{doubt}")

    async def _relay(
        self, rule: ConnectorRule, upstream: Upstream, response: aiohttp.ClientResponse
    ) -> list[Message]:
        headers = returning(list(response.raw_headers), upstream.headers.values())
        location = response.headers.get("location")
        if location is not None:
            inside = self._inside(upstream.url, location)
            if inside is None and response.status in _REDIRECTS:
                why = f"{rule.name} redirects to another place, which connectors do not follow"
                raise _Answered(502, why, refused=why)
            headers = [
                (name, inside.encode("ascii") if name == b"location" and inside else value)
                for name, value in headers
            ]
        self._status = response.status
        start = {"type": "http.response.start", "status": self._status, "headers": headers}
        final: Message = {"type": "http.response.body", "body": b""}
        if self._method == "HEAD" or self._status in _BODILESS:
            return [start, final]
        sized = any(name == b"content-length" for name, _ in headers)
        return await self._stream(rule, response, start, final, sized)

    async def _stream(
        self,
        rule: ConnectorRule,
        response: aiohttp.ClientResponse,
        start: Message,
        final: Message,
        sized: bool,
    ) -> list[Message]:
        """Send all but the end.

        Where the length is known the cell has everything once the last byte is there, so a piece
        is always held back. Without a length pieces go at once (somebody watches), and what is
        held back is the mark of the end.
        """
        held = [start]
        if not sized:
            await self._send_now(held)
            held = []
        async for chunk in response.content.iter_any():
            self._bytes += len(chunk)
            if self._bytes > rule.max_answer:
                raise _Answered(502, f"{rule.name} answered with more than {rule.max_answer} bytes")
            piece: Message = {"type": "http.response.body", "body": chunk, "more_body": True}
            ready, held = (held, [piece]) if sized else ([piece], [])
            await self._send_now(ready)
        return [*held, final]

    async def _send_now(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._begun = True
            await self._send(message)

    def _inside(self, base: str, location: str) -> str | None:
        """A redirect's address as the cell has to ask for it; None if it leads elsewhere."""
        try:
            target = urlsplit(urljoin(self._target, location))
            if _origin(target) != _origin(urlsplit(base)):
                return None
        except ValueError:
            return None
        prefix = urlsplit(base).path
        if not target.path.startswith(prefix + "/"):
            return None
        query = "?" + target.query if target.query else ""
        rest = quote(target.path[len(prefix) :] + query, safe=_VISIBLE, errors="surrogateescape")
        return f"/{self._grant.token}/{self._connector}{rest}"

    async def _unless_gone(self, work: Awaitable[list[Message]]) -> list[Message]:
        """The result of ``work``, which is broken off when nobody waits for it any more."""
        working = asyncio.current_task()
        assert working is not None
        gone = False

        def end(_: object = None) -> None:
            nonlocal gone
            gone = True
            working.cancel()

        watching = asyncio.ensure_future(self._hung_up())
        watching.add_done_callback(end)
        self._grant.under_way.add(end)
        try:
            return await work
        except asyncio.CancelledError:
            if not gone:
                raise
            raise _CellGone from None
        finally:
            watching.remove_done_callback(end)
            self._grant.under_way.discard(end)
            watching.cancel()
            if gone:
                # It may have been asked for and not have arrived: not while this is recorded.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                working.uncancel()

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
            # kubectl shows the text of a Status, and of anything else only "unknown".
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": f"runbookd: {error}",
        }
        return answer(status, body, refused=refused)

    def _event(self, refused: str) -> ConnectorData:
        # Not cut, since half a secret could not be told any more; the server's limits are short.
        return ConnectorData(
            execution=self._execution,
            lane=self._grant.lane,
            connector=self._connector,
            method=self._method,
            path=self._path,
            status=self._status,
            bytes=self._bytes,
            duration_ms=round((time.monotonic() - self._started) * 1000),
            refused=refused,
        )


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return (url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme))
