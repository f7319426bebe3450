"""A session with a real policy on one side, the stand-in for Slack on the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from runbookd.approvals.channel import DecisionReply, IncomingDecision
from runbookd.approvals.slack.channel import SlackChannel
from runbookd.approvals.slack.socket import Pace
from runbookd.approvals.view import RequestView
from runbookd.clock import SystemClock
from runbookd.drill.slack.people import CHANNEL, COMMANDERS
from runbookd.drill.slack.remote import SlackControl
from runbookd.drill.slack.server import Slack
from runbookd.policy.decide import Approver, Click, Counted, RequestFacts, judge
from runbookd.policy.gates import Gate
from runbookd.policy.people import Identity

QUICK = Pace(ping=0.05, silent=0.5, first=0.02, longest=0.1, refused=0.05)


async def becomes(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait until something is so. Raises TimeoutError when it never is."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


@dataclass
class Session:
    """Takes decisions on one request as the engine does: the policy judges, then it is kept."""

    view: RequestView
    requester: str = "U0YOU"
    taken: list[IncomingDecision] = field(default_factory=list)
    replies: list[DecisionReply] = field(default_factory=list)
    error: Exception | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None

    async def take(self, incoming: IncomingDecision) -> DecisionReply:
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        self.taken.append(incoming)
        now = SystemClock().now()
        groups = frozenset({"commanders"} if COMMANDERS in incoming.facts.usergroups else ())
        user = incoming.identity.user
        verdict = judge(
            Gate((), (frozenset({"commanders"}),), self.view.quorum, 900),
            RequestFacts(
                digest=self.view.digest,
                requester=Identity(None, frozenset({self.requester})),
                expires_at=now + timedelta(seconds=900),
                state=self.view.state,
            ),
            (),
            Click(
                decision=incoming.decision,
                digest=incoming.digest,
                approver=Approver(slack=user, groups=groups, problems=incoming.facts.problems),
                at=now,
            ),
            now,
        )
        if isinstance(verdict, Counted):
            state = "approved" if incoming.decision == "approve" else "denied"
            self.view = self.view.model_copy(
                update={
                    "state": state,
                    "approved_by": (user,) if state == "approved" else (),
                    "decided_by": user,
                    "reason": incoming.reason,
                }
            )
            reply = DecisionReply(accepted=True, text="", state=self.view.state)
        else:
            reply = DecisionReply(accepted=False, text=verdict.reason, state=self.view.state)
        self.replies.append(reply)
        return reply


@dataclass
class World:
    """Everything that a test needs at hand."""

    slack: Slack
    control: SlackControl
    session: Session
    channel: SlackChannel
    running: "asyncio.Task[None]"
    ref: dict[str, str] = field(default_factory=dict)

    @property
    def ts(self) -> str:
        return self.ref["ts"]

    def messages(self, **having: Any) -> list[dict[str, Any]]:
        """Messages that have these members, oldest first."""
        found: list[dict[str, Any]] = self.slack.workspace.snapshot()["messages"]
        return [m for m in found if all(m.get(name) == value for name, value in having.items())]

    def message(self) -> dict[str, Any]:
        """The request's message as it is now."""
        return self.messages(ts=self.ts)[0]

    async def told(self, user: str) -> str:
        """What only ``user`` sees; waits for it."""
        await becomes(lambda: bool(self.messages(shown_to=user)))
        text: str = self.messages(shown_to=user)[-1]["blocks"][0]["text"]["text"]
        return text

    async def press(self, user: str, button: str) -> dict[str, Any]:
        return await self.control.press(user, self.ts, button)

    async def view_of(self, user: str) -> dict[str, Any]:
        """The modal that is open on somebody's screen; waits for it."""

        def found(state: dict[str, Any]) -> dict[str, Any] | None:
            views = [v for v in state["views"] if v["open"] and v["user"] == user]
            return views[-1] if views else None

        return await self.control.until(found)

    async def connected(self) -> None:
        await becomes(lambda: self.channel.health().state == "connected")

    async def post(self) -> None:
        self.ref = await self.channel.post(self.session.view)

    async def payload(self) -> dict[str, Any]:
        """The payload of the last thing that anybody did."""
        state = await self.control.state()
        found: dict[str, Any] = state["envelopes"][-1]["payload"]
        return found


def slack_channel(slack: Slack, session: Session, **changes: Any) -> SlackChannel:
    values: dict[str, Any] = {
        "base_url": slack.api_url,
        "bot_token": slack.tokens.bot,
        "app_token": slack.tokens.app,
        "channel": CHANNEL,
        "sink": session.take,
        "clock": SystemClock(),
        "pace": QUICK,
    }
    return SlackChannel(**{**values, **changes})


@asynccontextmanager
async def running(channel: SlackChannel) -> AsyncIterator["asyncio.Task[None]"]:
    """The channel, running; cancelled at the end, and nothing else may come out of it."""
    task = asyncio.create_task(channel.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
