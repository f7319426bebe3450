"""What the API offers, over the sessions of a home: who is who, and where a call goes."""

import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from runbookd import __version__
from runbookd.api import (
    Accepted,
    ApprovalInfo,
    Command,
    Decided,
    Decision,
    Health,
    OpenSession,
    RunbookInfo,
    SessionInfo,
)
from runbookd.approvals.channel import Channel, DecisionReply, IncomingDecision
from runbookd.approvals.console import request_text
from runbookd.approvals.request import fingerprint
from runbookd.clock import Clock, rfc3339
from runbookd.daemon.peer import os_groups, os_user
from runbookd.daemon.sessions import Sessions
from runbookd.errors import InputError
from runbookd.events import Actor, SandboxReport
from runbookd.policy.decide import Approver, Click
from runbookd.policy.model import Policies
from runbookd.policy.people import groups_of, identity_for
from runbookd.runbook.folder import list_runbooks
from runbookd.session.engine import Session
from runbookd.session.state import Request
from runbookd.settings import Settings


class DaemonService:
    """Implements :class:`runbookd.daemon.app.Service`.

    Attributes:
        last_used: when a client last asked for something, on ``time.monotonic``.
        followers: how many clients follow a session at this moment.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        report: SandboxReport,
        policies: Callable[[], Policies],
        sessions: Sessions,
        channels: tuple[Channel, ...],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._report = report
        self._policies = policies
        self._sessions = sessions
        self._started = rfc3339(clock.now())
        self._channels = channels
        self.last_used = time.monotonic()
        self.followers = 0

    async def used(self) -> None:
        """A client asks for something."""
        self.last_used = time.monotonic()

    def actor(self, uid: int) -> Actor:
        """Who a user id is: a person of the policies, or the account's own name."""
        identity = identity_for(self._policies(), os_user=os_user(uid))
        return Actor(kind="person", id=identity.actor_id, auth="peercred")

    def health(self, actor: Actor) -> Health:
        """How the daemon is."""
        return Health(
            version=__version__,
            home=str(self._settings.home),
            pid=os.getpid(),
            started=self._started,
            person=actor.id,
            sandbox=self._report,
            channels=tuple(channel.health() for channel in self._channels),
            open_sessions=len(self._sessions.served),
        )

    async def runbooks(self) -> tuple[RunbookInfo, ...]:
        """The runbooks in the folder."""
        return list_runbooks(self._settings.runbooks)

    async def list(self) -> tuple[SessionInfo, ...]:
        """All sessions, the newest first."""
        return await self._sessions.list()

    async def info(self, session: str) -> SessionInfo:
        """One session."""
        return await self._sessions.info(session)

    async def open(self, wanted: OpenSession, uid: int) -> SessionInfo:
        """Open a session for the user ``uid``.

        Raises:
            InputError: another user than the daemon's named a notebook outside of the folder:
                the daemon reads no file for somebody who may not read it; or no file can have
                that name.
        """
        try:
            path = (self._settings.runbooks / wanted.runbook).resolve()
        except (OSError, RuntimeError, ValueError):
            raise InputError(
                f"no file can be called {wanted.runbook!r}", "see `runbookd open --help`"
            ) from None
        inside = self._settings.runbooks.resolve() in path.parents
        if uid != os.getuid() and not inside:
            raise InputError(
                f"{path} is outside of the daemon's runbooks",
                f"put the notebook into {self._settings.runbooks}",
            )
        return await self._sessions.open(wanted, self.actor(uid), path)

    async def notebook(self, session: str) -> dict[str, Any]:
        """The frozen notebook."""
        return await self._sessions.notebook(session)

    async def events(self, session: str, start: int, *, follow: bool) -> AsyncIterator[bytes]:
        """The record's lines."""
        self.followers += 1
        try:
            async for lines in self._sessions.events(session, start, follow=follow):
                yield lines
        finally:
            self.followers -= 1
            self.last_used = time.monotonic()

    async def blob(self, session: str, digest: str) -> bytes:
        """A blob."""
        return await self._sessions.blob(session, digest)

    async def command(self, session: str, command: Command, actor: Actor) -> Accepted:
        """A command of a person."""
        return await self._sessions.find(session).command(command, actor)

    async def approvals(self) -> tuple[ApprovalInfo, ...]:
        """What waits for a decision, oldest first."""
        return tuple(
            _approval(session, asked)
            for session in self._sessions.served
            for asked in session.state.requests.values()
            if asked.state == "pending"
        )

    async def decide(self, request: str, decision: Decision, uid: int) -> Decided:
        """A decision through the console, by the OS user ``uid``."""
        for session in self._sessions.served:
            asked = session.state.requests.get(request)
            if asked is not None:
                approver = self._console_approver(uid)
                click = Click(
                    decision=decision.decision,
                    digest=asked.digest,
                    approver=approver,
                    at=self._clock.now(),
                )
                return await session.decide(
                    request, click, self.actor(uid), via="console", reason=decision.reason
                )
        raise InputError(f"there is no open request {request!r}", "see `runbookd approvals`")

    def _console_approver(self, uid: int) -> Approver:
        policies = self._policies()
        name = os_user(uid)
        identity = identity_for(policies, os_user=name)
        return Approver(
            person=identity.person,
            os_user=name,
            groups=groups_of(policies, identity, slack_members={}, os_groups=os_groups(uid)),
        )

    async def slack_decision(self, incoming: IncomingDecision) -> DecisionReply:
        """A decision that came through Slack; returns once it, or its refusal, is recorded."""
        policies = self._policies()
        user = incoming.identity.user
        identity = identity_for(policies, slack=user)
        members = {usergroup: frozenset({user}) for usergroup in incoming.facts.usergroups}
        approver = Approver(
            person=identity.person,
            slack=user,
            groups=groups_of(policies, identity, slack_members=members),
            problems=incoming.facts.problems,
        )
        click = Click(
            decision=incoming.decision,
            digest=incoming.digest,
            approver=approver,
            at=self._clock.now(),
        )
        session = self._sessions.find(incoming.session)
        actor = Actor(kind="person", id=identity.actor_id, auth="slack")
        decided = await session.decide(
            incoming.request, click, actor, via="slack", reason=incoming.reason
        )
        return DecisionReply(accepted=decided.accepted, text=decided.reason, state=decided.state)


def _approval(session: Session, asked: Request) -> ApprovalInfo:
    return ApprovalInfo(
        id=asked.id,
        session=session.state.id,
        cell=asked.cell,
        title=session.state.cells[asked.cell].plan.title,
        fingerprint=fingerprint(asked.digest),
        digest=asked.digest,
        requester=asked.requester,
        groups=asked.groups,
        quorum=asked.quorum,
        approved_by=asked.approved_by,
        expires_at=asked.expires_at,
        text=request_text(session.view(asked.id)),
    )
