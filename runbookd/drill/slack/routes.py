"""The way of an HTTP request through the stand-in."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp import web

from runbookd.drill.slack import chat, files
from runbookd.drill.slack.answers import SlackError
from runbookd.drill.slack.webapi import Answer, too_many

if TYPE_CHECKING:
    from runbookd.drill.slack.server import Slack

_PAGE = Path(__file__).parent / "page"
_ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}
_OWN_PATHS = {"", "archives", "control", *_ASSETS}
_MAX_WAIT_S = 25.0
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Routes:
    """The handlers of one stand-in's HTTP server."""

    def __init__(self, slack: "Slack") -> None:
        self._slack = slack

    @web.middleware
    async def guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """What every request passes first."""
        # A web page elsewhere must not reach the stand-in under a name of its own.
        if request.host.partition(":")[0] not in ("127.0.0.1", "localhost"):
            return web.Response(status=421, text="ask for 127.0.0.1")
        # While Slack is down, what belongs to the drill alone still works.
        if not self._slack.listening and request.path.split("/")[1] not in _OWN_PATHS:
            return _cut(request)
        return await handler(request)

    async def api(self, request: web.Request) -> web.StreamResponse:
        """``/api/METHOD``, or the fault that was ordered for it."""
        method = request.match_info["method"]
        values, token, bare_json = await _arguments(request)
        web_api = self._slack.web_api
        fault = self._slack.faults.next_for(method)
        if fault is None:
            return _json(web_api.call(method, token, values), charset_missing=bare_json)
        match fault.kind:
            case "lost_reply":
                web_api.call(method, token, values)
                return _cut(request)
            case "hang":
                await asyncio.sleep(fault.seconds)
                return _json(web_api.call(method, token, values))
            case _:
                web_api.note(method, values, fault.kind)
        match fault.kind:
            case "lost":
                return _cut(request)
            case "error":
                return _json(Answer({"ok": False, "error": fault.error}))
            case "ratelimited":
                return _json(too_many(fault.retry_after))
            case "http":
                return web.Response(status=fault.status, text="upstream trouble")

    async def upload(self, request: web.Request) -> web.Response:
        """The bytes of a file."""
        try:
            if request.content_type == "multipart/form-data":
                form = await request.post()
                parts = [part for part in form.values() if isinstance(part, web.FileField)]
                data = parts[0].file.read() if parts else b""
            else:
                data = await request.read()
            files.receive(self._slack.workspace, request.match_info["upload"], data)
        except SlackError as error:
            return web.Response(status=400, text=error.code)
        return web.Response(text=f"OK - {len(data)}")

    async def response_url(self, request: web.Request) -> web.Response:
        """An answer to an interaction."""
        body = await _json_body(request)
        try:
            answer = chat.respond(self._slack.workspace, request.match_info["name"], body)
        except SlackError as error:
            return web.json_response(error.answer(), status=404 if "url" in error.code else 400)
        return web.json_response(answer)

    async def state(self, request: web.Request) -> web.Response:
        """Everything, at once or when it is newer than ``after``."""
        try:
            after = int(request.query.get("after", "-1"))
            wait_s = min(float(request.query.get("wait", "0")), _MAX_WAIT_S)
        except ValueError:
            return web.json_response({"ok": False, "error": "invalid"}, status=400)
        return web.json_response(await self._slack.control.state(after, wait_s), headers=_HEADERS)

    async def control(self, request: web.Request) -> web.Response:
        """A verb of the control API."""
        # The content type makes a browser ask first, so that no foreign page can press a button.
        if request.content_type != "application/json":
            return web.json_response({"ok": False, "error": "json_only"}, status=415)
        status, answer = await self._slack.control.carry_out(
            request.match_info["verb"], await _json_body(request)
        )
        return web.json_response(answer, status=status)

    async def page(self, request: web.Request) -> web.Response:
        """The channel, for a browser."""
        text = (_PAGE / "index.html").read_text(encoding="utf-8")
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def asset(self, request: web.Request) -> web.Response:
        """Style and script of the page."""
        name = request.match_info["asset"]
        text = (_PAGE / name).read_text(encoding="utf-8")
        return web.Response(text=text, content_type=_ASSETS[name], headers=_HEADERS)

    async def close(self, app: web.Application) -> None:
        """End what would keep the server from ending."""
        await self._slack.sockets.close()


async def _json_body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        return None


async def _arguments(request: web.Request) -> tuple[dict[str, Any], str | None, bool]:
    """The arguments, the token, and whether a JSON body came without its charset."""
    values: dict[str, Any] = dict(request.query)
    body = await request.read()
    bare_json = False
    if request.content_type == "application/json" and body:
        bare_json = request.charset is None
        given = await _json_body(request)
        if isinstance(given, dict):
            values |= given
    elif request.content_type == "application/x-www-form-urlencoded":
        values |= parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    in_arguments = values.pop("token", None)
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    token = value if kind == "Bearer" else in_arguments
    return values, token if isinstance(token, str) else None, bare_json


def _json(answer: Answer, *, charset_missing: bool = False) -> web.Response:
    body = answer.body
    if charset_missing and "warning" not in body:
        metadata = {**body.get("response_metadata", {}), "warnings": ["missing_charset"]}
        body = {**body, "warning": "missing_charset", "response_metadata": metadata}
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return web.json_response(body, status=answer.status, headers=headers)


def _cut(request: web.Request) -> web.StreamResponse:
    if isinstance(request.transport, asyncio.Transport):
        request.transport.abort()
    return web.Response(status=503)
