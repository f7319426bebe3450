"""What every approval channel does, and what it tells the session when somebody decides.

A channel shows requests and carries decisions. It decides nothing: who may decide is
:func:`runbookd.policy.decide.judge`'s business, in the session.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from runbookd.api import ChannelHealth
from runbookd.approvals.view import RequestView
from runbookd.events import RequestState
from runbookd.model import Digest, Frozen

Ref = dict[str, str]
"""Where a channel shows a request; goes into the record, so that it is found after a restart."""


class SlackIdentity(Frozen):
    """Who clicked, as Slack says. ``enterprise`` is None outside an Enterprise Grid."""

    team: str
    user: str
    enterprise: str | None
    app: str


class ApproverFacts(Frozen):
    """What was looked up about somebody at the moment of their decision.

    ``problems`` say why this account may not decide at all; one is enough. ``usergroups`` are
    those of the asked Slack user groups that they are in; when a look-up failed there is a
    problem, and the groups are empty.
    """

    problems: tuple[str, ...] = ()
    usergroups: tuple[str, ...] = ()


class IncomingDecision(Frozen):
    """A decision as a channel received it. ``digest`` is what was on the decider's screen.

    ``key`` is the same for every delivery of the same act.
    """

    request: str
    session: str
    digest: Digest
    decision: Literal["approve", "deny"]
    reason: str
    via: Literal["slack", "console"]
    identity: SlackIdentity
    facts: ApproverFacts
    key: tuple[str, ...]


class DecisionReply(Frozen):
    """What became of a decision; ``text`` is told to whoever decided when it did not count.

    ``state`` is the request's state afterwards, None when there is no such request.
    """

    accepted: bool
    text: str
    state: RequestState | None = None


DecisionSink = Callable[[IncomingDecision], Awaitable[DecisionReply]]
"""Takes a decision. Returns once it, or its refusal, is durable; raises when it could not be."""


class Channel(Protocol):
    """A place where requests are shown and decided."""

    @property
    def name(self) -> str:
        """What the record and the screens call it."""
        ...

    def health(self) -> ChannelHealth:
        """Whether it can be used now."""
        ...

    async def run(self) -> None:
        """Serve until cancelled, reconnecting as needed. Never returns by itself."""
        ...

    async def post(self, view: RequestView) -> Ref:
        """Show a new request.

        Raises:
            Unavailable: the channel does not take it now.
            InputError: it can never be shown here; says why.
        """
        ...

    async def update(self, ref: Ref, view: RequestView) -> None:
        """Show where the request stands now. Returns at once; what cannot be sent is retried.

        Also how a channel learns, after a restart, of what it showed before.
        """
        ...

    async def thread(self, ref: Ref, text: str) -> None:
        """Say something below the request. Returns at once; what cannot be sent is retried."""
        ...
