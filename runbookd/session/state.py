"""What a session is at a moment: a pure fold over its events, and nothing else.

The daemon, the screens, the command line and the postmortem all call :func:`fold` on the same
recorded lines, so none of them can disagree with the record.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, assert_never

from runbookd.errors import RecordError
from runbookd.events import (
    AdhocFinished,
    AdhocStarted,
    ApprovalClaimed,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalFinished,
    ApprovalPosted,
    ApprovalRefused,
    ApprovalRequested,
    ApprovalRevoked,
    CellFinished,
    CellOutput,
    CellPlan,
    CellSkipped,
    CellStarted,
    CellStatus,
    CellTicked,
    Checkpointed,
    ConnectorRequested,
    DriverChanged,
    FinishedData,
    KernelDied,
    KernelEnded,
    KernelStarted,
    Lane,
    NoteAdded,
    OpenedData,
    Recorded,
    Recovered,
    RequestState,
    SessionClosed,
    SessionOpened,
)

CellMark = Literal[
    "todo",
    "running",
    "waiting",
    "approved",
    "done",
    "failed",
    "denied",
    "expired",
    "skipped",
    "unknown",
]
"""Where a cell stands. ``waiting`` is for an approval; ``unknown``: a crash hid the outcome."""

OPEN_REQUEST: frozenset[RequestState] = frozenset({"pending", "approved"})
"""States in which a request may still lead to an execution."""


@dataclass(frozen=True, slots=True)
class CellState:
    """A cell of the runbook and how far it is."""

    plan: CellPlan
    mark: CellMark = "todo"
    execution: str | None = None
    request: str | None = None
    runs: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a source. ``status`` is None while it runs; ``cell`` is None for an ad-hoc one."""

    id: str
    cell: str | None
    lane: Lane
    request: str | None
    started_seq: int
    started_ts: str
    source: str | None = None
    status: CellStatus | None = None
    finished_seq: int | None = None
    duration_ms: int = 0
    error: str = ""
    lane_hint: str = ""
    output_events: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A request for approval and what became of it.

    ``mono`` (ns, comparable within ``boot``) and ``requested_at`` are when it was recorded.
    """

    id: str
    cell: str
    seq: int
    document: dict[str, Any]
    digest: str
    rules: tuple[str, ...]
    groups: tuple[str, ...]
    quorum: int
    requested_at: str
    expires_at: str
    requester: str
    state: RequestState = "pending"
    approved_by: tuple[str, ...] = ()
    decided_by: str | None = None
    decided_via: str | None = None
    decided_at: str | None = None
    reason: str = ""
    refusals: int = 0
    execution: str | None = None
    posted: dict[str, dict[str, str]] = field(default_factory=dict)
    mono: int = 0
    boot: str = ""


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session after some number of events; ``seq`` is that number."""

    seq: int = 0
    log: str = ""
    opened: OpenedData | None = None
    opened_by: str = ""
    opened_ts: str = ""
    cells: dict[str, CellState] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    running: str | None = None
    kernel: str | None = None
    kernels_lost: int = 0
    driver: str | None = None
    notes: int = 0
    checkpoint: str = ""
    checkpoint_seq: int | None = None
    closed_ts: str | None = None

    @property
    def id(self) -> str:
        """The session's id: the last part of the log's origin."""
        return self.log.rpartition("/")[2]

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self.closed_ts is not None

    def request_of(self, cell: str) -> Request | None:
        """The latest request for a cell, or None."""
        found = self.cells[cell].request
        return self.requests[found] if found else None

    def missing(self, cell: str) -> tuple[str, ...]:
        """The cells that must have succeeded before ``cell`` and have not."""
        needed = self.cells[cell].plan.requires
        return tuple(name for name in needed if self.cells[name].mark != "done")

    def next_cell(self) -> str | None:
        """The first cell that is neither done nor skipped, or None when the walk is through.

        A cell that is there to roll another one back is no step of its own.
        """
        rollbacks = {cell.plan.rollback for cell in self.cells.values()}
        for name, cell in self.cells.items():
            if cell.mark not in {"done", "skipped"} and name not in rollbacks:
                return name
        return None


def fold_all(lines: Iterable[Recorded], state: SessionState | None = None) -> SessionState:
    """:func:`fold` over many lines, from the start or from ``state``."""
    state = state or SessionState()
    for line in lines:
        state = fold(state, line)
    return state


def fold(state: SessionState, line: Recorded) -> SessionState:
    """The state after ``line``.

    Raises:
        RecordError: the line does not follow the ones before it.
    """
    if line.seq != state.seq:
        raise RecordError(f"line {line.seq} of the record came where line {state.seq} belongs")
    if (line.seq == 0) != isinstance(line.event, SessionOpened):
        raise RecordError(f"line {line.seq} of the record: session.opened must be the first line")
    try:
        return replace(_apply(state, line), seq=line.seq + 1)
    except KeyError as error:
        raise RecordError(
            f"line {line.seq} of the record speaks of {error}, which no line before it named"
        ) from None


def _apply(state: SessionState, line: Recorded) -> SessionState:
    event = line.event
    match event:
        case SessionOpened():
            return replace(
                state,
                log=line.log,
                opened=event.data,
                opened_by=line.actor.id,
                opened_ts=line.ts,
                cells={plan.id: CellState(plan) for plan in event.data.cells},
                driver=line.actor.id,
            )
        case SessionClosed():
            return replace(state, closed_ts=line.ts, running=None, kernel=None)
        case DriverChanged():
            return replace(state, driver=event.data.person)
        case KernelStarted():
            if event.data.lane == "read-only":
                return replace(state, kernel=event.data.kernel)
            return state
        case KernelDied() | KernelEnded():
            if state.kernel == event.data.kernel:
                return replace(state, kernel=None, kernels_lost=state.kernels_lost + 1)
            return state
        case CellStarted():
            run = Execution(
                id=event.data.execution,
                cell=event.cell,
                lane=event.data.lane,
                request=event.request,
                started_seq=line.seq,
                started_ts=line.ts,
            )
            runs = state.cells[_cell(event.cell)].runs + 1
            state = _begin(state, run)
            return _cell_changed(state, event.cell, mark="running", execution=run.id, runs=runs)
        case AdhocStarted():
            run = Execution(
                id=event.data.execution,
                cell=None,
                lane="read-only",
                request=None,
                started_seq=line.seq,
                started_ts=line.ts,
                source=event.data.source,
            )
            return _begin(state, run)
        case CellOutput():
            run = state.executions[event.data.execution]
            run = replace(run, output_events=run.output_events + 1)
            return replace(state, executions={**state.executions, run.id: run})
        case CellFinished():
            state = _end(state, event.data, line.seq)
            mark: CellMark = "failed"
            if event.data.status == "ok":
                mark = "done"
            elif event.data.status == "unknown":
                mark = "unknown"
            return _cell_changed(state, event.cell, mark=mark)
        case AdhocFinished():
            return _end(state, event.data, line.seq)
        case CellSkipped():
            return _cell_changed(state, event.cell, mark="skipped", reason=event.data.reason)
        case CellTicked():
            return _cell_changed(state, event.cell, mark="done", reason=event.data.text)
        case NoteAdded():
            return replace(state, notes=state.notes + 1)
        case ApprovalRequested():
            asked = Request(
                id=_request(event.request),
                cell=_cell(event.cell),
                seq=line.seq,
                document=event.data.document,
                digest=event.data.digest,
                rules=event.data.rules,
                groups=event.data.groups,
                quorum=event.data.quorum,
                requested_at=line.ts,
                expires_at=event.data.expires_at,
                requester=event.data.requester,
                mono=line.mono,
                boot=line.boot,
            )
            state = replace(state, requests={**state.requests, asked.id: asked})
            return _cell_changed(state, asked.cell, mark="waiting", request=asked.id)
        case ApprovalPosted():
            asked = state.requests[_request(event.request)]
            posted = {**asked.posted, event.data.channel: event.data.ref}
            return _request_changed(state, asked.id, posted=posted)
        case ApprovalRefused():
            asked = state.requests[_request(event.request)]
            return _request_changed(state, asked.id, refusals=asked.refusals + 1)
        case ApprovalDecided():
            return _decided(state, event, line.ts)
        case ApprovalExpired():
            return _settled(state, event.request, "expired", "expired", reason=event.data.reason)
        case ApprovalRevoked():
            settled: RequestState = "superseded" if event.data.superseded_by else "revoked"
            return _settled(state, event.request, settled, "todo", reason=event.data.reason)
        case ApprovalClaimed():
            return _request_changed(
                state,
                _request(event.request),
                state="executing",
                execution=event.data.execution,
            )
        case ApprovalFinished():
            return _request_changed(state, _request(event.request), state=event.data.status)
        case ConnectorRequested():
            return state
        case Checkpointed():
            return replace(state, checkpoint=event.data.note, checkpoint_seq=line.seq)
        case Recovered():
            return _recovered(state, event, line.seq)
        case _:
            assert_never(event)


def _begin(state: SessionState, run: Execution) -> SessionState:
    return replace(state, executions={**state.executions, run.id: run}, running=run.id)


def _end(state: SessionState, data: FinishedData, seq: int) -> SessionState:
    run = replace(
        state.executions[data.execution],
        status=data.status,
        finished_seq=seq,
        duration_ms=data.duration_ms,
        error=data.error,
        lane_hint=data.lane_hint,
    )
    running = None if state.running == run.id else state.running
    return replace(state, executions={**state.executions, run.id: run}, running=running)


def _decided(state: SessionState, event: ApprovalDecided, ts: str) -> SessionState:
    asked = state.requests[_request(event.request)]
    data = event.data
    if data.decision == "deny":
        state = _request_changed(
            state, asked.id, decided_by=data.person, decided_via=data.via, decided_at=ts
        )
        return _settled(state, asked.id, "denied", "denied", reason=data.reason)
    approved_by = (*asked.approved_by, data.person)
    if not data.complete:
        return _request_changed(state, asked.id, approved_by=approved_by)
    state = _request_changed(
        state,
        asked.id,
        approved_by=approved_by,
        decided_by=data.person,
        decided_via=data.via,
        decided_at=ts,
    )
    return _settled(state, asked.id, "approved", "approved", reason=data.reason)


def _settled(
    state: SessionState, request: str | None, settled: RequestState, mark: CellMark, *, reason: str
) -> SessionState:
    name = _request(request)
    cell = state.requests[name].cell
    state = _request_changed(state, name, state=settled, reason=reason)
    if state.cells[cell].request != name:
        return state
    return _cell_changed(state, cell, mark=mark)


def _recovered(state: SessionState, event: Recovered, seq: int) -> SessionState:
    for name in event.data.executions:
        run = state.executions[name]
        data = FinishedData(
            execution=name, status="unknown", duration_ms=0, error="the daemon ended meanwhile"
        )
        state = _end(state, data, seq)
        if run.cell is not None:
            state = _cell_changed(state, run.cell, mark="unknown")
    for asked in state.requests.values():
        if asked.state == "executing":
            state = _request_changed(state, asked.id, state="unknown")
            if state.cells[asked.cell].request == asked.id:
                state = _cell_changed(state, asked.cell, mark="unknown")
    lost = state.kernels_lost + (1 if state.kernel else 0)
    return replace(state, running=None, kernel=None, kernels_lost=lost)


def _cell_changed(state: SessionState, cell: str | None, /, **changes: Any) -> SessionState:
    name = _cell(cell)
    return replace(state, cells={**state.cells, name: replace(state.cells[name], **changes)})


def _request_changed(state: SessionState, name: str, /, **changes: Any) -> SessionState:
    changed = replace(state.requests[name], **changes)
    return replace(state, requests={**state.requests, name: changed})


def _cell(name: str | None) -> str:
    if name is None:
        raise KeyError("a cell")
    return name


def _request(name: str | None) -> str:
    if name is None:
        raise KeyError("a request")
    return name
