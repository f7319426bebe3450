"""What a command leads to in a state: pure, so that every case can be tested.

:func:`step_for` answers with what the engine has to do, or refuses. It knows nothing of kernels,
files and Slack; whether an approval is *valid* is not its business either, that is
:func:`runbookd.session.gate.problems`'s.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from runbookd.api import (
    AddNote,
    CloseSession,
    Command,
    Interrupt,
    RevokeRequest,
    RunAdhoc,
    RunCell,
    SkipCell,
    TakeDriver,
    TickCell,
)
from runbookd.clock import parse_rfc3339
from runbookd.errors import CommandRefused
from runbookd.events import (
    ApprovalRevoked,
    CellSkipped,
    CellTicked,
    DriverChanged,
    DriverData,
    Event,
    NoteAdded,
    NoteData,
    ReasonData,
    RevokedData,
)
from runbookd.session.state import OPEN_REQUEST, SessionState


@dataclass(frozen=True, slots=True)
class Record:
    """Record these events; nothing else happens."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class RunReadOnly:
    """Run a cell of the runbook in the read-only lane."""

    cell: str


@dataclass(frozen=True, slots=True)
class RunSource:
    """Run an ad-hoc source in the read-only lane."""

    source: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for approval of a gated cell; ``instead_of`` is a request that it takes the place of."""

    cell: str
    instead_of: str | None


@dataclass(frozen=True, slots=True)
class Execute:
    """Try to use an approved request."""

    request: str


@dataclass(frozen=True, slots=True)
class InterruptRun:
    """Interrupt the execution that runs."""

    execution: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the session, taking back what is still open."""

    revoked: tuple[Event, ...]
    reason: str


Step = Record | RunReadOnly | RunSource | Ask | Execute | InterruptRun | Close


def step_for(state: SessionState, command: Command, who: str, now: datetime) -> Step:
    """What ``command`` of the person ``who`` leads to.

    Raises:
        CommandRefused: the state or the driver's seat does not allow it; says what would help.
    """
    if state.closed:
        raise CommandRefused("the session is closed", "open a new one with `runbookd open`")
    if not isinstance(command, AddNote | TakeDriver) and state.driver != who:
        raise CommandRefused(
            f"{state.driver or 'nobody'} drives this session", "take the driver's seat first"
        )
    match command:
        case AddNote():
            if command.cell is not None:
                _known(state, command.cell)
            return Record((NoteAdded(cell=command.cell, data=NoteData(text=command.text)),))
        case TakeDriver():
            return _take_seat(state, command, who)
        case RunCell():
            return _run(state, command.cell, now)
        case RunAdhoc():
            _idle(state)
            if state.opened is not None and not state.opened.enforced:
                raise CommandRefused(
                    "no sandbox is in force here, so nothing runs without an approval",
                    "put the source into a gated cell",
                )
            return RunSource(command.source)
        case SkipCell():
            return _skip(state, command)
        case TickCell():
            _known(state, command.cell)
            if state.cells[command.cell].plan.mode != "manual":
                raise CommandRefused("only a manual step can be ticked off", "run the cell")
            _requirements(state, command.cell)
            return Record((CellTicked(cell=command.cell, data=NoteData(text=command.text)),))
        case RevokeRequest():
            asked = state.requests.get(command.request)
            if asked is None or asked.state not in OPEN_REQUEST:
                raise CommandRefused("there is no open request with this id")
            revoked = RevokedData(reason=command.reason)
            return Record((ApprovalRevoked(cell=asked.cell, request=asked.id, data=revoked),))
        case Interrupt():
            if state.running is None:
                raise CommandRefused("nothing is running")
            return InterruptRun(state.running)
        case CloseSession():
            _idle(state)
            taken_back = tuple(
                ApprovalRevoked(
                    cell=asked.cell, request=asked.id, data=RevokedData(reason="session closed")
                )
                for asked in state.requests.values()
                if asked.state in OPEN_REQUEST
            )
            return Close(taken_back, command.reason)
        case _:
            assert_never(command)


def _run(state: SessionState, cell: str, now: datetime) -> Step:
    _known(state, cell)
    plan = state.cells[cell].plan
    if plan.mode == "manual":
        raise CommandRefused("this step is done by a person", "do it, then tick it off")
    _idle(state)
    _requirements(state, cell)
    if plan.mode == "read-only":
        return RunReadOnly(cell)
    asked = state.request_of(cell)
    if asked is None or asked.state not in OPEN_REQUEST:
        return Ask(cell, instead_of=None)
    if now >= parse_rfc3339(asked.expires_at):
        return Ask(cell, instead_of=asked.id)
    if asked.state == "approved":
        return Execute(asked.id)
    raise CommandRefused(
        f"request {asked.digest[:8]} still waits for approval",
        "revoke it to ask again with other values",
    )


def _skip(state: SessionState, command: SkipCell) -> Step:
    _known(state, command.cell)
    cell = state.cells[command.cell]
    if cell.mark == "running":
        raise CommandRefused("the cell is running", "interrupt it first")
    if not command.reason.strip():
        raise CommandRefused("a step is not left out without a reason", "say why")
    events: list[Event] = []
    asked = state.request_of(command.cell)
    if asked is not None and asked.state in OPEN_REQUEST:
        revoked = RevokedData(reason=f"skipped: {command.reason}")
        events.append(ApprovalRevoked(cell=command.cell, request=asked.id, data=revoked))
    events.append(CellSkipped(cell=command.cell, data=ReasonData(reason=command.reason)))
    return Record(tuple(events))


def _take_seat(state: SessionState, command: TakeDriver, who: str) -> Step:
    if state.driver == who:
        raise CommandRefused("you drive already")
    if state.driver is not None and not command.reason.strip():
        raise CommandRefused(f"{state.driver} drives", "say why you take the seat")
    return Record((DriverChanged(data=DriverData(person=who, reason=command.reason)),))


def _known(state: SessionState, cell: str) -> None:
    if cell not in state.cells:
        raise CommandRefused(f"the runbook has no cell {cell!r} that can be walked")


def _idle(state: SessionState) -> None:
    if state.running is not None:
        raise CommandRefused("something is running", "wait for it, or interrupt it")


def _requirements(state: SessionState, cell: str) -> None:
    missing = state.missing(cell)
    if missing:
        titles = ", ".join(repr(state.cells[name].plan.title) for name in missing)
        raise CommandRefused(f"this cell requires {titles} to have succeeded", "run that first")
