"""A daemon that plays a script: what it is asked is kept, what happens is up to the test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

from runbookd.api import (
    Accepted,
    ApprovalInfo,
    ChannelHealth,
    Command,
    Health,
    OpenSession,
    RunbookInfo,
    SessionInfo,
)
from runbookd.clock import rfc3339
from runbookd.errors import CommandRefused, DaemonUnavailable, InputError, RunbookdError
from runbookd.events import Recorded, SandboxReport
from runbookd.session.state import fold_all
from tests.tui.script import RUNBOOK, SESSION, Script

Reaction = Callable[["FakeDaemon", Command], None]


class StillClock:
    """A clock that the test turns."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.monotonic = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic_ns(self) -> int:
        return int(self.monotonic * 1e9)

    def seconds(self) -> float:
        return self.monotonic

    def boot(self) -> str:
        return "boot"


class FakeDaemon:
    """Plays ``script``; ``react`` may write lines when a command comes."""

    def __init__(self, script: Script, react: Reaction | None = None) -> None:
        self.script = script
        self.react = react
        self.person = "alice"
        self.commands: list[Command] = []
        self.opened: list[OpenSession] = []
        self.starts: list[int] = []
        self.refuse: RunbookdError | None = None
        self.reconnects = 0
        self.gone = False
        self.infos: tuple[RunbookInfo, ...] = ()
        self.waiting: tuple[ApprovalInfo, ...] = ()
        self.slack = "connected"
        self.fetched: list[str] = []
        self._changed = asyncio.Condition()

    async def tell(self, *_: Any) -> None:
        """The script has new lines: pass them on."""
        async with self._changed:
            self._changed.notify_all()

    async def die(self) -> None:
        """Go away until the next :meth:`reconnect` that is allowed."""
        self.gone = True
        await self.tell()

    def _alive(self) -> None:
        if self.gone:
            raise DaemonUnavailable("the daemon does not answer", "see its log")

    async def health(self) -> Health:
        self._alive()
        return Health(
            version="0.1.0",
            home="/home/alice/.local/state/runbookd",
            pid=1,
            started="2026-11-24T02:00:00.000000Z",
            person=self.person,
            sandbox=SandboxReport(level="full", backend="sandlock", kernel="6.18"),
            channels=(
                ChannelHealth(name="slack", state=self.slack, since="2026-11-24T02:01:00.000000Z"),
            ),
            open_sessions=1,
        )

    async def runbooks(self) -> tuple[RunbookInfo, ...]:
        self._alive()
        return self.infos

    async def sessions(self) -> tuple[SessionInfo, ...]:
        self._alive()
        state = fold_all(self.script.lines)
        assert state.opened is not None
        return (
            SessionInfo(
                id=SESSION,
                title=state.opened.runbook.title,
                runbook=str(RUNBOOK),
                opened=state.opened_ts,
                closed=state.closed_ts,
                driver=state.driver,
                drill=state.opened.drill,
                incident=state.opened.incident,
                waiting=tuple(c.plan.title for c in state.cells.values() if c.mark == "waiting"),
                done=sum(c.mark == "done" for c in state.cells.values()),
                total=len(state.cells),
                seq=state.seq,
            ),
        )

    async def open(self, wanted: OpenSession) -> SessionInfo:
        self._alive()
        if self.refuse:
            raise self.refuse
        self.opened.append(wanted)
        return (await self.sessions())[0]

    async def notebook(self, session: str) -> dict[str, Any]:
        self._alive()
        if session != SESSION:
            raise InputError(f"there is no session {session!r}", "see `runbookd sessions`")
        return self.script.notebook

    async def events(self, session: str, start: int = 0) -> AsyncIterator[Recorded]:
        self._alive()
        self.starts.append(start)
        at = start
        while True:
            while at < len(self.script.lines):
                yield self.script.lines[at]
                at += 1
                if self.script.lines[at - 1].event.type == "session.closed":
                    return
            async with self._changed:
                await self._changed.wait_for(
                    lambda here=at: self.gone or here < len(self.script.lines)
                )
            self._alive()

    async def blob(self, session: str, digest: str) -> bytes:
        self._alive()
        self.fetched.append(digest)
        found = self.script.blobs.get(digest)
        if found is None:
            raise InputError("there is no such blob")
        return found

    async def command(self, session: str, command: Command) -> Accepted:
        self._alive()
        if self.refuse:
            raise self.refuse
        if fold_all(self.script.lines).closed:
            raise CommandRefused("the session is closed")
        self.commands.append(command)
        if self.react:
            self.react(self, command)
            await self.tell()
        return Accepted(seq=len(self.script.lines))

    async def approvals(self) -> tuple[ApprovalInfo, ...]:
        self._alive()
        return self.waiting

    async def reconnect(self) -> None:
        self.reconnects += 1
        if self.gone:
            raise DaemonUnavailable("no daemon answers", "see its log")


def approval(script: Script, request: str) -> ApprovalInfo:
    """A pending request of the script, in the list of approvals."""
    asked = fold_all(script.lines).requests[request]
    return ApprovalInfo(
        id=request,
        session=SESSION,
        cell=asked.cell,
        title="Reap leaked connections and enable the reaper",
        fingerprint=asked.digest[:8],
        digest=asked.digest,
        requester=asked.requester,
        groups=asked.groups,
        quorum=asked.quorum,
        approved_by=(),
        expires_at=rfc3339(script.now.replace(minute=30)),
        text="change()",
    )
