"""The models of the daemon's HTTP API: what clients send and what they get back.

Events are not repeated here: the event stream carries :class:`runbookd.events.Recorded` lines.
"""

from typing import Annotated, Literal

from pydantic import Field

from runbookd.events import Mode, SandboxReport
from runbookd.model import Digest, Frozen, JsonText


class ChannelHealth(Frozen):
    """Whether an approval channel can be used now. ``since`` is RFC 3339."""

    name: str
    state: Literal["off", "connecting", "connected", "away", "refused"]
    since: str
    detail: str = ""


class Health(Frozen):
    """What the daemon is and how it is."""

    version: str
    home: str
    pid: int
    started: str
    person: str
    sandbox: SandboxReport
    channels: tuple[ChannelHealth, ...]
    open_sessions: int


class ParameterInfo(Frozen):
    """A parameter that a runbook asks for."""

    name: str
    type: Literal["string", "integer", "number", "boolean"]
    description: str = ""
    required: bool = False
    default: JsonText | None = None
    choices: tuple[JsonText, ...] = ()
    pattern: str | None = None


class RunbookInfo(Frozen):
    """A runbook in the runbooks folder. ``problem`` is set when it cannot be opened."""

    path: str
    title: str
    service: str = ""
    environment: str = ""
    severity: int | None = None
    tags: tuple[str, ...] = ()
    parameters: tuple[ParameterInfo, ...] = ()
    cells: dict[Mode, int] = {}
    problem: str = ""


class OpenSession(Frozen):
    """Open a session on a runbook; ``parameters`` are JSON texts."""

    runbook: str
    parameters: dict[str, JsonText] = {}
    incident: str | None = None
    severity: int | None = None
    drill: bool = False


class SessionInfo(Frozen):
    """A session in a list."""

    id: str
    title: str
    runbook: str
    opened: str
    closed: str | None
    driver: str | None
    drill: bool
    incident: str | None
    waiting: tuple[str, ...]
    done: int
    total: int
    seq: int
    problem: str = ""


class ApprovalInfo(Frozen):
    """A pending request. ``text`` is all of it for a console, as Slack would show it."""

    id: str
    session: str
    cell: str
    title: str
    fingerprint: str
    digest: Digest
    requester: str
    groups: tuple[str, ...]
    quorum: int
    approved_by: tuple[str, ...]
    expires_at: str
    text: str


class Decision(Frozen):
    """A decision on a request through the console."""

    decision: Literal["approve", "deny"]
    reason: str = ""


class Decided(Frozen):
    """What became of a decision. ``state`` is the request's state afterwards."""

    accepted: bool
    state: str
    reason: str = ""


class RunCell(Frozen):
    """Run a read-only cell, or ask for approval of a gated one, or execute it once approved."""

    type: Literal["run"] = "run"
    cell: str


class SkipCell(Frozen):
    """Leave a cell out, and say why."""

    type: Literal["skip"] = "skip"
    cell: str
    reason: str = Field(min_length=1)


class TickCell(Frozen):
    """A manual step was done by a person."""

    type: Literal["tick"] = "tick"
    cell: str
    text: str = ""


class AddNote(Frozen):
    """Put a note on the timeline."""

    type: Literal["note"] = "note"
    text: str = Field(min_length=1)
    cell: str | None = None


class RunAdhoc(Frozen):
    """Run a source of one's own in the read-only lane."""

    type: Literal["adhoc"] = "adhoc"
    source: str = Field(min_length=1)


class RevokeRequest(Frozen):
    """Take a pending or approved request back."""

    type: Literal["revoke"] = "revoke"
    request: str
    reason: str = ""


class Interrupt(Frozen):
    """Interrupt whatever runs."""

    type: Literal["interrupt"] = "interrupt"


class TakeDriver(Frozen):
    """Take the driver's seat, and say why when somebody sits there."""

    type: Literal["drive"] = "drive"
    reason: str = ""


class CloseSession(Frozen):
    """End the session."""

    type: Literal["close"] = "close"
    reason: str = ""


Command = Annotated[
    RunCell
    | SkipCell
    | TickCell
    | AddNote
    | RunAdhoc
    | RevokeRequest
    | Interrupt
    | TakeDriver
    | CloseSession,
    Field(discriminator="type"),
]


class Accepted(Frozen):
    """The command was taken; ``seq`` is the record's length at that moment."""

    seq: int
    execution: str | None = None
    request: str | None = None


class Problem(Frozen):
    """An error, in the words of :mod:`runbookd.errors`."""

    message: str
    hint: str = ""
    exit_code: int
