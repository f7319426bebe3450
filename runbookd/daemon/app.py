"""The HTTP API (ASGI): thin; everything it does is a call of :class:`~.sessions.Sessions`.

OpenAPI is at ``/v1/openapi.json``. Errors are :class:`runbookd.api.Problem` objects.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Protocol

import structlog
from fastapi import Body, Depends, FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from runbookd import __version__
from runbookd.api import (
    Accepted,
    ApprovalInfo,
    Command,
    Decided,
    Decision,
    Health,
    OpenSession,
    Problem,
    RunbookInfo,
    SessionInfo,
)
from runbookd.errors import InputError, RunbookdError
from runbookd.events import Actor
from runbookd.visible import one_line

_log = structlog.get_logger(__name__)
_LONGEST = 2000
_STATUS = {1: 409, 2: 400, 3: 403, 4: 500, 5: 503}
SessionId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
BlobDigest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


class Service(Protocol):
    """What the API offers; :class:`runbookd.daemon.service.DaemonService` implements it."""

    async def used(self) -> None:
        """A client asks for something."""
        ...

    def actor(self, uid: int) -> Actor:
        """Who a user id is."""
        ...

    def health(self, actor: Actor) -> Health:
        """How the daemon is."""
        ...

    async def runbooks(self) -> tuple[RunbookInfo, ...]:
        """The runbooks in the folder."""
        ...

    async def list(self) -> tuple[SessionInfo, ...]:
        """All sessions."""
        ...

    async def info(self, session: str) -> SessionInfo:
        """One session."""
        ...

    async def open(self, wanted: OpenSession, uid: int) -> SessionInfo:
        """Open a session."""
        ...

    async def notebook(self, session: str) -> dict[str, Any]:
        """The frozen notebook."""
        ...

    def events(self, session: str, start: int, *, follow: bool) -> AsyncIterator[bytes]:
        """The record's lines."""
        ...

    async def blob(self, session: str, digest: str) -> bytes:
        """A blob."""
        ...

    async def command(self, session: str, command: Command, actor: Actor) -> Accepted:
        """A command of a person."""
        ...

    async def approvals(self) -> tuple[ApprovalInfo, ...]:
        """What waits for a decision."""
        ...

    async def decide(self, request: str, decision: Decision, uid: int) -> Decided:
        """A decision through the console."""
        ...


async def peer(request: Request) -> int:
    """The user id that :class:`~.server.PeerProtocol` put into the scope."""
    client = request.client
    if client is None or client.host != "uid":
        raise InputError("the peer is unknown", "connect through the daemon's socket")
    return client.port


Peer = Annotated[int, Depends(peer)]


def build_app(service: Service) -> FastAPI:
    """The application over ``service``."""
    app = FastAPI(
        title="runbookd",
        version=__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(service.used)],
    )

    @app.exception_handler(RunbookdError)
    async def _told(_: Request, error: RunbookdError) -> JSONResponse:
        return _problem(error)

    @app.exception_handler(RequestValidationError)
    async def _malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _problem(InputError(f"{where}: {first['msg'].lower()}", "see the API's description"))

    @app.exception_handler(HTTPException)
    async def _refused(_: Request, error: HTTPException) -> JSONResponse:
        problem = Problem(message=str(error.detail).lower(), exit_code=2)
        return JSONResponse(problem.model_dump(), status_code=error.status_code)

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
        _log.error("api.failed", path=request.url.path, exc_info=error)
        told = f"the daemon failed at this ({type(error).__name__})"
        return _problem(RunbookdError(told, "its log says more"), status=500)

    @app.get("/v1/health")
    async def health(uid: Peer) -> Health:
        return service.health(service.actor(uid))

    @app.get("/v1/runbooks")
    async def runbooks(_: Peer) -> tuple[RunbookInfo, ...]:
        return await service.runbooks()

    @app.get("/v1/sessions")
    async def sessions(_: Peer) -> tuple[SessionInfo, ...]:
        return await service.list()

    @app.post("/v1/sessions", status_code=201)
    async def open_session(wanted: OpenSession, uid: Peer) -> SessionInfo:
        return await service.open(wanted, uid)

    @app.get("/v1/sessions/{session}")
    async def session_info(session: SessionId, _: Peer) -> SessionInfo:
        return await service.info(session)

    @app.get("/v1/sessions/{session}/notebook")
    async def notebook(session: SessionId, _: Peer) -> dict[str, Any]:
        return await service.notebook(session)

    @app.get("/v1/sessions/{session}/events")
    async def events(
        session: SessionId, _: Peer, start: int = 0, follow: bool = True
    ) -> StreamingResponse:
        await service.info(session)
        lines = service.events(session, max(0, start), follow=follow)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    @app.get("/v1/sessions/{session}/blobs/{digest}")
    async def blob(session: SessionId, digest: BlobDigest, _: Peer) -> Response:
        found = await service.blob(session, digest)
        return Response(found, media_type="application/octet-stream")

    @app.post("/v1/sessions/{session}/commands", status_code=202)
    async def command(
        session: SessionId, command: Annotated[Command, Body()], uid: Peer
    ) -> Accepted:
        return await service.command(session, command, service.actor(uid))

    @app.get("/v1/approvals")
    async def approvals(_: Peer) -> tuple[ApprovalInfo, ...]:
        return await service.approvals()

    @app.post("/v1/approvals/{request_id}/decision")
    async def decide(request_id: SessionId, decision: Decision, uid: Peer) -> Decided:
        return await service.decide(request_id, decision, uid)

    return app


def _problem(error: RunbookdError, status: int | None = None) -> JSONResponse:
    """The answer that tells an error; what it quotes may hold anything, and is made visible."""
    problem = Problem(
        message=one_line(error.message, _LONGEST),
        hint=one_line(error.hint, _LONGEST),
        exit_code=error.exit_code,
    )
    return JSONResponse(problem.model_dump(), status or _STATUS.get(error.exit_code, 500))
