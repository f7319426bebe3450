"""The daemon's API from the client's side, over the Unix socket."""

import json
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

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
from runbookd.client.spawn import ensure_daemon
from runbookd.errors import DaemonUnavailable, RunbookdError, error_for
from runbookd.events import Recorded
from runbookd.settings import Settings

_T = TypeVar("_T")
_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class DaemonClient:
    """A connection to the daemon of one home. Every method raises a RunbookdError, or works.

    Use it as an async context manager; entering it finds the daemon, or starts one.

    Args:
        settings: which home and socket.
        start: start a daemon when none answers; False means that its absence is an error.
    """

    def __init__(self, settings: Settings, *, start: bool = True) -> None:
        self._settings = settings
        self._start = start
        self._http = self._new_http()

    def _new_http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self._settings.socket)),
            base_url="http://runbookd/v1",
            timeout=httpx.Timeout(60, connect=5),
        )

    async def __aenter__(self) -> Self:
        try:
            await self.reconnect()
        except BaseException:
            await self._http.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def reconnect(self) -> None:
        """Find the daemon again, or start one, after it went away."""
        await ensure_daemon(self._settings, start=self._start)
        await self._http.aclose()
        self._http = self._new_http()

    async def health(self) -> Health:
        """What the daemon is and how it is."""
        return await self._get("/health", Health)

    async def runbooks(self) -> tuple[RunbookInfo, ...]:
        """The runbooks in the daemon's folder, broken ones with their problem."""
        return await self._get("/runbooks", tuple[RunbookInfo, ...])

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """All sessions, the newest first."""
        return await self._get("/sessions", tuple[SessionInfo, ...])

    async def session(self, session: str) -> SessionInfo:
        """One session."""
        return await self._get(f"/sessions/{session}", SessionInfo)

    async def open(self, wanted: OpenSession) -> SessionInfo:
        """Open a session."""
        return await self._post("/sessions", wanted.model_dump(mode="json"), SessionInfo)

    async def notebook(self, session: str) -> dict[str, Any]:
        """The frozen notebook; each cell's ``id`` is the one that events use."""
        return await self._get(f"/sessions/{session}/notebook", dict[str, Any])

    async def command(self, session: str, command: Command) -> Accepted:
        """Send a command; what comes of it arrives as events."""
        body = _COMMAND.dump_python(command, mode="json")
        return await self._post(f"/sessions/{session}/commands", body, Accepted)

    async def approvals(self) -> tuple[ApprovalInfo, ...]:
        """The requests that wait for a decision, of all sessions."""
        return await self._get("/approvals", tuple[ApprovalInfo, ...])

    async def decide(self, request: str, decision: Decision) -> Decided:
        """Approve or deny a request as the OS user that runs this process."""
        body = decision.model_dump(mode="json")
        return await self._post(f"/approvals/{request}/decision", body, Decided)

    async def blob(self, session: str, digest: str) -> bytes:
        """The bytes of a blob of a session."""
        return (await self._send("GET", f"/sessions/{session}/blobs/{digest}")).content

    async def events(
        self, session: str, start: int = 0, *, follow: bool = True
    ) -> AsyncGenerator[Recorded, None]:
        """The record's lines from ``start``: those that are there, then new ones as they come.

        Ends when the session is closed, or at the last line with ``follow=False``.

        Raises:
            DaemonUnavailable: the daemon went away, or is of another version.
        """
        query = {"start": start, "follow": int(follow)}
        url = f"/sessions/{session}/events"
        try:
            async with self._http.stream(
                "GET", url, params=query, timeout=httpx.Timeout(5, read=None)
            ) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise _problem(answer)
                rest = b""
                async for piece in answer.aiter_bytes():
                    # Not httpx's lines, which end at U+2028 and the like, too.
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        yield _recorded(line)
        except httpx.HTTPError as error:
            raise _gone(error) from None

    async def _get(self, url: str, shape: type[_T]) -> _T:
        return _parse(await self._send("GET", url), shape)

    async def _post(self, url: str, body: Any, shape: type[_T]) -> _T:
        return _parse(await self._send("POST", url, json=body), shape)

    async def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, url, **options)
        except httpx.HTTPError as error:
            raise _gone(error) from None
        if answer.is_error:
            raise _problem(answer)
        return answer


def _parse(answer: httpx.Response, shape: type[_T]) -> _T:
    try:
        return TypeAdapter(shape).validate_json(answer.content)
    except ValidationError:
        raise _other_version() from None


def _recorded(line: bytes) -> Recorded:
    try:
        return Recorded.from_json(json.loads(line))
    except (ValueError, AttributeError):
        raise _other_version() from None


def _other_version() -> DaemonUnavailable:
    return DaemonUnavailable(
        "the daemon answered in a form this version does not know",
        "end the running daemon, so that one of this version is started",
    )


def _gone(error: httpx.HTTPError) -> DaemonUnavailable:
    return DaemonUnavailable(
        f"the daemon does not answer ({type(error).__name__})",
        "run the command again; the session is on disk",
    )


def _problem(answer: httpx.Response) -> RunbookdError:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        return DaemonUnavailable(f"the daemon answered {answer.status_code}", "see its log")
    return error_for(problem.exit_code, problem.message, problem.hint)
