"""The stand-in as an HTTP server on loopback: its parts, put together."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from runbookd.drill.slack.control import Control
from runbookd.drill.slack.faults import Faults
from runbookd.drill.slack.interactivity import Members
from runbookd.drill.slack.limiter import Limiter
from runbookd.drill.slack.people import TEAM
from runbookd.drill.slack.routes import Routes
from runbookd.drill.slack.sockets import Sockets
from runbookd.drill.slack.webapi import WebApi
from runbookd.drill.slack.workspace import Tokens, Workspace

_MAX_BODY = 8 * 2**20


class Slack:
    """One stand-in: its parts, and whether it listens.

    Args:
        tokens: the app's tokens.
        base: the address it is reached at, such as ``http://127.0.0.1:40123``.
    """

    def __init__(self, tokens: Tokens, base: str) -> None:
        self.base = base
        self.tokens = tokens
        self.listening = True
        self.workspace = Workspace(tokens)
        self.limiter = Limiter(self.workspace.now)
        self.faults = Faults()
        self.sockets = Sockets(self.workspace, base.replace("http://", "ws://") + "/link/")
        self.members = Members(self.workspace, self.sockets, base)
        self.web_api = WebApi(self.workspace, self.limiter, base, self.sockets.ticket)
        self.control = Control(self)

    @property
    def api_url(self) -> str:
        """What ``AsyncWebClient`` takes as ``base_url``."""
        return f"{self.base}/api/"


def application(slack: Slack) -> web.Application:
    """The aiohttp application of one stand-in."""
    routes = Routes(slack)
    app = web.Application(client_max_size=_MAX_BODY, middlewares=[routes.guard])
    app.add_routes(
        [
            web.route("*", "/api/{method}", routes.api),
            web.get("/link/", slack.sockets.serve),
            web.post("/upload/v1/{upload}", routes.upload),
            web.post(f"/actions/{TEAM}/{{name}}", routes.response_url),
            web.get("/control/state", routes.state),
            web.post("/control/{verb}", routes.control),
            web.get("/", routes.page),
            web.get("/archives/{channel}/{message}", routes.page),
            web.get("/{asset:page\\.(?:css|js)}", routes.asset),
        ]
    )
    app.on_shutdown.append(routes.close)
    return app


@asynccontextmanager
async def serving(tokens: Tokens | None = None, port: int = 0) -> AsyncIterator[Slack]:
    """Run a stand-in on 127.0.0.1, as long as the context lasts.

    Args:
        tokens: the app's tokens; random when not given.
        port: 0 picks a free one.

    Raises:
        OSError: the port is taken.
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        slack = Slack(tokens or Tokens(), f"http://127.0.0.1:{listener.getsockname()[1]}")
        runner = web.AppRunner(application(slack), access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield slack
        finally:
            await runner.cleanup()
