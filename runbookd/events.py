"""The vocabulary of a session: every event that a record can hold (design, section 6).

An event says, in the past tense, what happened. It is what the record stores, what the state is
folded from, what the daemon streams and what ``run --json`` prints. No floats: durations are
integer milliseconds, times are RFC 3339 text. Values that may hold anything (parameters, inputs)
are :data:`~runbookd.model.JsonText`.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from runbookd.model import Digest, Frozen, JsonText

Lane = Literal["read-only", "gated"]
Mode = Literal["read-only", "gated", "manual"]
Risk = Literal["low", "medium", "high"]
SandboxLevel = Literal["full", "process", "none"]
CellStatus = Literal["ok", "error", "timeout", "interrupted", "died", "unknown"]
OutputChannel = Literal["stdout", "stderr", "result", "display", "error"]
RequestState = Literal[
    "pending",
    "approved",
    "executing",
    "done",
    "failed",
    "unknown",
    "denied",
    "expired",
    "revoked",
    "superseded",
]
"""The states of an approval (design, section 5)."""


class Actor(Frozen):
    """Who caused an event, and how we know.

    ``id`` is a person of the policy (``alice``) where the identity is known there, else a name of
    the channel (``os:1000``, ``slack:U0ALICE``); the daemon itself is ``runbookd``.
    """

    kind: Literal["person", "daemon"]
    id: str
    auth: Literal["peercred", "slack", "daemon"]


DAEMON = Actor(kind="daemon", id="runbookd", auth="daemon")


class Content(Frozen):
    """One representation of an output: text in line when short, else a blob of the session."""

    mime: str
    bytes: int
    text: str | None = None
    blob: Digest | None = None


class CellPlan(Frozen):
    """A code or manual cell of the frozen runbook, as the walk knows it."""

    id: str
    title: str
    mode: Mode
    source_digest: Digest
    risk: Risk | None = None
    requires: tuple[str, ...] = ()
    rollback: str | None = None
    verify: str | None = None


class ProbeRow(Frozen):
    """One attack that the sandbox's self-test tried, and whether it was denied."""

    attack: str
    denied: bool


class SandboxReport(Frozen):
    """What the self-test proved. ``level`` is ``none`` unless every row was denied."""

    level: SandboxLevel
    backend: str
    kernel: str
    rows: tuple[ProbeRow, ...] = ()
    why: str = ""


class RunbookRef(Frozen):
    """Which notebook was frozen: its path at that time, digest, and git commit if it had one."""

    title: str
    path: str
    digest: Digest
    commit: str | None = None


class PolicyRef(Frozen):
    """Which policies are in force: a digest over all files, and one for each."""

    digest: Digest
    files: dict[str, Digest]


class OpenedData(Frozen):
    """Everything that was settled when the session opened."""

    program: str
    vkey: str
    runbook: RunbookRef
    policies: PolicyRef
    kernelspec: str
    cells: tuple[CellPlan, ...]
    parameters: dict[str, JsonText]
    sandbox: SandboxReport
    unenforced: bool = False
    drill: bool = False
    incident: str | None = None
    service: str = ""
    environment: str = ""
    severity: int | None = None
    previous: str | None = None

    @property
    def enforced(self) -> bool:
        """Whether read-only cells may run freely: they are walled in, or the policy waived it."""
        return self.sandbox.level != "none" or self.unenforced


class DriverData(Frozen):
    """Who drives from now on. ``person`` is an actor id; None when the seat is empty."""

    person: str | None
    reason: str = ""


class KernelStartedData(Frozen):
    """A kernel process is ready."""

    kernel: str
    lane: Lane
    kernelspec: str
    level: SandboxLevel


class KernelGoneData(Frozen):
    """A kernel process is no more."""

    kernel: str
    lane: Lane
    why: str = ""


class StartedData(Frozen):
    """The intent to run a source; on disk before the code is sent."""

    execution: str
    lane: Lane
    source_digest: Digest
    timeout_s: int


class AdhocStartedData(Frozen):
    """The intent to run a read-only source that is not in the runbook."""

    execution: str
    source: str
    timeout_s: int


class OutputData(Frozen):
    """A piece of output. Several representations of the same thing come together."""

    execution: str
    channel: OutputChannel
    contents: tuple[Content, ...]


class FinishedData(Frozen):
    """How an execution ended. ``lane_hint`` explains a refusal by the lane's walls to people."""

    execution: str
    status: CellStatus
    duration_ms: int
    error: str = ""
    lane_hint: str = ""
    outputs: dict[str, JsonText] = {}


class ReasonData(Frozen):
    """Why, in a person's words."""

    reason: str


class NoteData(Frozen):
    """A note of a person, Markdown allowed, shown as text."""

    text: str


class RequestedData(Frozen):
    """A request for approval: the document that is digested, and who may decide."""

    document: dict[str, Any]
    digest: Digest
    rules: tuple[str, ...]
    groups: tuple[str, ...]
    quorum: int
    expires_at: str
    requester: str


class PostedData(Frozen):
    """Where a channel shows the request, so that the message can be updated after a restart."""

    channel: str
    ref: dict[str, str]


class DecidedData(Frozen):
    """A decision that counts. ``complete`` says that it settled the request."""

    decision: Literal["approve", "deny"]
    person: str
    via: Literal["slack", "console"]
    digest: Digest
    complete: bool
    reason: str = ""


class RefusedData(Frozen):
    """A click or command that was turned away, and why; the request stays as it was."""

    decision: Literal["approve", "deny"]
    person: str
    via: Literal["slack", "console"]
    reason: str


class RevokedData(Frozen):
    """The requester took the request back, or a newer request took its place."""

    reason: str
    superseded_by: str | None = None


class ClaimedData(Frozen):
    """The approval is used up for this execution. On disk before any code is sent."""

    execution: str
    digest: Digest


class ApprovalFinishedData(Frozen):
    """How the approved execution ended."""

    status: Literal["done", "failed", "unknown"]


class ConnectorData(Frozen):
    """One request through a connector. No bodies, no query values, no credentials."""

    execution: str
    lane: Lane
    connector: str
    method: str
    path: str
    status: int
    bytes: int
    duration_ms: int
    refused: str = ""


class CheckpointData(Frozen):
    """A signed note over the lines before this one (C2SP tlog-checkpoint)."""

    note: str


class RecoveredData(Frozen):
    """The daemon found the session open after a crash."""

    executions: tuple[str, ...]
    torn_bytes: int = 0


class ClosedData(Frozen):
    """The session ended."""

    reason: str = ""


class _Event(Frozen):
    cell: str | None = None
    request: str | None = None


class SessionOpened(_Event):
    type: Literal["session.opened"] = "session.opened"
    data: OpenedData


class SessionClosed(_Event):
    type: Literal["session.closed"] = "session.closed"
    data: ClosedData


class DriverChanged(_Event):
    type: Literal["driver.changed"] = "driver.changed"
    data: DriverData


class KernelStarted(_Event):
    type: Literal["kernel.started"] = "kernel.started"
    data: KernelStartedData


class KernelDied(_Event):
    type: Literal["kernel.died"] = "kernel.died"
    data: KernelGoneData


class KernelEnded(_Event):
    type: Literal["kernel.ended"] = "kernel.ended"
    data: KernelGoneData


class CellStarted(_Event):
    type: Literal["cell.started"] = "cell.started"
    data: StartedData


class CellOutput(_Event):
    type: Literal["cell.output"] = "cell.output"
    data: OutputData


class CellFinished(_Event):
    type: Literal["cell.finished"] = "cell.finished"
    data: FinishedData


class CellSkipped(_Event):
    type: Literal["cell.skipped"] = "cell.skipped"
    data: ReasonData


class CellTicked(_Event):
    type: Literal["cell.ticked"] = "cell.ticked"
    data: NoteData


class AdhocStarted(_Event):
    type: Literal["adhoc.started"] = "adhoc.started"
    data: AdhocStartedData


class AdhocFinished(_Event):
    type: Literal["adhoc.finished"] = "adhoc.finished"
    data: FinishedData


class NoteAdded(_Event):
    type: Literal["note.added"] = "note.added"
    data: NoteData


class ApprovalRequested(_Event):
    type: Literal["approval.requested"] = "approval.requested"
    data: RequestedData


class ApprovalPosted(_Event):
    type: Literal["approval.posted"] = "approval.posted"
    data: PostedData


class ApprovalDecided(_Event):
    type: Literal["approval.decided"] = "approval.decided"
    data: DecidedData


class ApprovalRefused(_Event):
    type: Literal["approval.refused"] = "approval.refused"
    data: RefusedData


class ApprovalExpired(_Event):
    type: Literal["approval.expired"] = "approval.expired"
    data: ReasonData


class ApprovalRevoked(_Event):
    type: Literal["approval.revoked"] = "approval.revoked"
    data: RevokedData


class ApprovalClaimed(_Event):
    type: Literal["approval.claimed"] = "approval.claimed"
    data: ClaimedData


class ApprovalFinished(_Event):
    type: Literal["approval.finished"] = "approval.finished"
    data: ApprovalFinishedData


class ConnectorRequested(_Event):
    type: Literal["connector.request"] = "connector.request"
    data: ConnectorData


class Checkpointed(_Event):
    type: Literal["checkpoint"] = "checkpoint"
    data: CheckpointData


class Recovered(_Event):
    type: Literal["recovered"] = "recovered"
    data: RecoveredData


Event = Annotated[
    SessionOpened
    | SessionClosed
    | DriverChanged
    | KernelStarted
    | KernelDied
    | KernelEnded
    | CellStarted
    | CellOutput
    | CellFinished
    | CellSkipped
    | CellTicked
    | AdhocStarted
    | AdhocFinished
    | NoteAdded
    | ApprovalRequested
    | ApprovalPosted
    | ApprovalDecided
    | ApprovalRefused
    | ApprovalExpired
    | ApprovalRevoked
    | ApprovalClaimed
    | ApprovalFinished
    | ConnectorRequested
    | Checkpointed
    | Recovered,
    Field(discriminator="type"),
]

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_BODY_KEYS = frozenset({"type", "cell", "request", "data"})

EVENT_TYPES: frozenset[str] = frozenset(
    kind.model_fields["type"].default for kind in get_args(get_args(Event)[0])
)


class Recorded(Frozen):
    """An event with its place in the record: one line of ``record.jsonl``.

    ``prev`` is the leaf hash of the line before; ``mono`` is in nanoseconds and comparable only
    between lines of the same ``boot``; ``redacted`` names the redaction rules that fired.
    """

    v: Literal[1] = 1
    log: str
    seq: int
    prev: Digest
    ts: str
    mono: int
    boot: str
    actor: Actor
    event: Event
    redacted: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON object; keys without a value are left out."""
        line: dict[str, Any] = {
            "v": self.v,
            "log": self.log,
            "seq": self.seq,
            "prev": self.prev,
            "ts": self.ts,
            "mono": self.mono,
            "boot": self.boot,
            "actor": self.actor.model_dump(),
            **self.event.model_dump(mode="json", exclude_none=True),
        }
        if self.redacted:
            line["redacted"] = list(self.redacted)
        return line

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> "Recorded":
        """The line that :meth:`to_json` wrote.

        Raises:
            pydantic.ValidationError: an unknown type or key, or a value of the wrong shape.
        """
        body = {key: value for key, value in line.items() if key in _BODY_KEYS}
        envelope = {key: value for key, value in line.items() if key not in _BODY_KEYS}
        return cls(**envelope, event=_EVENT.validate_python(body))
