"""Whether a click or a command counts as a decision on a request: the one place that says so.

Every channel asks :func:`judge`, for approving and for denying, so that no rule can hold on one
way in and not on another. What needs looking up (accounts, groups, the time) is handed in.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from runbookd.policy.gates import Gate
from runbookd.policy.people import Identity


@dataclass(frozen=True, slots=True)
class Approver:
    """Who decides, as far as it was verified just now.

    Args:
        person: their name in the policy, or None.
        slack: the Slack account that clicked; None on the console.
        os_user: the OS user of the socket's peer; None in Slack.
        groups: groups of the policy whose membership was verified freshly.
        problems: why this account may not decide at all ("a guest", "a bot", "deactivated",
            "of another workspace", "the look-up failed"); one is enough.
    """

    person: str | None = None
    slack: str | None = None
    os_user: str | None = None
    groups: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    @property
    def identity(self) -> Identity:
        """Them, with the accounts they came with."""
        return Identity(
            self.person,
            frozenset({self.slack} if self.slack else ()),
            frozenset({self.os_user} if self.os_user else ()),
        )


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """The request that is decided on.

    Args:
        digest: of its document, 64 hex digits.
        requester: who asked, with all their accounts that the policy knows.
        expires_at: with a time zone.
        state: as in :data:`runbookd.session.state.RequestState`.
        decided_by: who settled it, if somebody did.
    """

    digest: str
    requester: Identity
    expires_at: datetime
    state: str = "pending"
    decided_by: str | None = None


@dataclass(frozen=True, slots=True)
class Click:
    """A decision as it came in. ``digest`` is what was on the decider's screen.

    ``at`` is when the daemon received it, by the daemon's clock, with a time zone.
    """

    decision: Literal["approve", "deny"]
    digest: str
    approver: Approver
    at: datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """The decision counts. ``complete``: it settles the request. ``person`` is an actor id."""

    complete: bool
    person: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The decision does not count, and why: a sentence without a final full stop."""

    reason: str


Verdict = Counted | Refused


def judge(
    gate: Gate, request: RequestFacts, prior: tuple[Identity, ...], click: Click, now: datetime
) -> Verdict:
    """Whether a decision counts.

    Args:
        gate: what the request needs, as frozen when it was made.
        request: the request as it is now.
        prior: those whose approval was counted already, with all their known accounts.
        click: the decision.
        now: the daemon's clock at this moment.
    """
    approver = click.approver
    reason = (
        _not_open(request, click, now)
        or _not_known(approver)
        or _not_another_than_the_requester(request.requester, approver)
        or _not_in_the_groups(gate, approver)
    )
    if reason:
        return Refused(reason)
    person = approver.identity.actor_id
    if click.decision == "deny":
        # Whoever approved before may think again: a denial only ever stops something.
        return Counted(complete=True, person=person)
    for other in prior:
        match _same_person(other, approver):
            case True:
                return Refused(f"{person} has approved already; another person is needed")
            case None:
                return Refused(
                    f"it is not known whether {person} is another person than {other.actor_id}; "
                    "the policy's identities must name them"
                )
            case False:
                pass
    people = {each.actor_id for each in prior} | {person}
    return Counted(complete=len(people) >= gate.quorum, person=person)


def _not_open(request: RequestFacts, click: Click, now: datetime) -> str:
    if request.state != "pending":
        by = f" by {request.decided_by}" if request.decided_by else ""
        return f"the request is {request.state} already{by}"
    if click.digest != request.digest:
        return "this is not the request that is waiting; what was shown has another digest"
    # The later of the two: a clock that was set back in between must not gain time.
    if max(click.at, now) >= request.expires_at:
        return "the request has expired"
    return ""


def _not_known(approver: Approver) -> str:
    if not approver.identity.known:
        return "it is not known who this is"
    if approver.problems:
        return f"this account may not decide: {', '.join(approver.problems)}"
    return ""


def _not_another_than_the_requester(requester: Identity, approver: Approver) -> str:
    if not requester.known:
        return "it is not known who asked, so nobody can be shown to be another person"
    if _same_person(requester, approver):
        return "whoever asks cannot decide; another person must"
    # Strict even when both are named persons: the policy may not know an account of theirs.
    if approver.slack is not None and not requester.slack:
        return (
            "the requester's Slack account is unknown, so nobody can decide in Slack; "
            "name it in the policy's identities"
        )
    if approver.os_user is not None and not requester.os_users:
        return (
            "the requester's OS user is unknown, so nobody can decide on the console; "
            "name it in the policy's identities"
        )
    return ""


def _not_in_the_groups(gate: Gate, approver: Approver) -> str:
    if not gate.groups:
        return "no group may approve this, so nobody can"
    for allowed in gate.groups:
        if not approver.groups & allowed:
            return f"only members of {' or '.join(sorted(allowed)) or 'no group'} may decide"
    return ""


def _same_person(one: Identity, approver: Approver) -> bool | None:
    """Whether they are the same person; None when their accounts do not tell."""
    other = approver.identity
    if one.slack & other.slack or one.os_users & other.os_users:
        return True
    if one.person is not None and other.person is not None:
        return one.person == other.person
    comparable = (one.slack and other.slack) or (one.os_users and other.os_users)
    return False if comparable else None
