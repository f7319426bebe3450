"""What each command leads to in each state, as one table, and why the rest is refused."""

from typing import Any, get_args

import pytest

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
    AdhocStarted,
    AdhocStartedData,
    ClosedData,
    DriverChanged,
    DriverData,
    SandboxReport,
    SessionClosed,
)
from runbookd.session.rules import (
    Ask,
    Close,
    Execute,
    InterruptRun,
    Record,
    RunReadOnly,
    RunSource,
    Step,
    step_for,
)
from runbookd.session.state import SessionState, fold_all
from tests.session.script import (
    after,
    claimed,
    decided,
    ended,
    expired,
    finished,
    line,
    opened,
    requested,
    revoked,
    started,
)

NOW = parse_rfc3339("2026-11-24T02:10:00.000000Z")
EXPIRY = parse_rfc3339("2026-11-24T02:22:31.000000Z")

EXECUTING = (requested(), decided(), claimed(), started("x-1", "fix", request="r-1"))
SHUT = SessionClosed(data=ClosedData())

STATES: dict[str, SessionState] = {
    "fresh": after(),
    "running": after(started()),
    "adhoc": after(AdhocStarted(data=AdhocStartedData(execution="x-1", source="1", timeout_s=60))),
    "pending": after(requested()),
    "approved": after(requested(), decided()),
    "executing": after(*EXECUTING),
    "done": after(*EXECUTING, finished(name="fix"), ended()),
    "denied": after(requested(), decided("deny")),
    "expired": after(requested(), expired()),
    "revoked": after(requested(), revoked()),
    "closed": after(requested(), SHUT),
}

COMMANDS: dict[str, Command] = {
    "run look": RunCell(cell="look"),
    "run fix": RunCell(cell="fix"),
    "run hands": RunCell(cell="hands"),
    "run check": RunCell(cell="check"),
    "run nowhere": RunCell(cell="nowhere"),
    "adhoc": RunAdhoc(source="1 + 1"),
    "skip look": SkipCell(cell="look", reason="known"),
    "skip fix": SkipCell(cell="fix", reason="known"),
    "skip nowhere": SkipCell(cell="nowhere", reason="known"),
    "tick hands": TickCell(cell="hands"),
    "tick look": TickCell(cell="look"),
    "tick nowhere": TickCell(cell="nowhere"),
    "note": AddNote(text="seen"),
    "note nowhere": AddNote(text="seen", cell="nowhere"),
    "revoke": RevokeRequest(request="r-1"),
    "revoke other": RevokeRequest(request="r-9"),
    "interrupt": Interrupt(),
    "close": CloseSession(reason="over"),
    "drive": TakeDriver(),
}

BUSY = "something is running"
NOWHERE = "no cell 'nowhere'"
NO_REQUEST = "no open request"
ASK = Ask("fix", None)
EVERYWHERE: dict[str, Any] = {
    "run look": RunReadOnly("look"),
    "run fix": ASK,
    "run hands": "done by a person",
    "run check": "requires",
    "run nowhere": NOWHERE,
    "adhoc": RunSource("1 + 1"),
    "skip look": "cell.skipped",
    "skip fix": "cell.skipped",
    "skip nowhere": NOWHERE,
    "tick hands": "cell.ticked",
    "tick look": "only a manual step",
    "tick nowhere": NOWHERE,
    "note": "note.added",
    "note nowhere": NOWHERE,
    "revoke": NO_REQUEST,
    "revoke other": NO_REQUEST,
    "interrupt": "nothing is running",
    "close": Close((), "over"),
    "drive": "you drive already",
}
WHILE_RUNNING = {
    "run look": BUSY,
    "run fix": BUSY,
    "run check": BUSY,
    "adhoc": BUSY,
    "close": BUSY,
    "interrupt": InterruptRun("x-1"),
}
WHILE_OPEN = {
    "revoke": "approval.revoked",
    "skip fix": "approval.revoked cell.skipped",
    "close": "closes with 1 revoked",
}
OTHERWISE: dict[str, dict[str, Any]] = {
    "running": {**WHILE_RUNNING, "skip look": "the cell is running"},
    "adhoc": WHILE_RUNNING,
    "pending": {**WHILE_OPEN, "run fix": "still waits for approval"},
    "approved": {**WHILE_OPEN, "run fix": Execute("r-1")},
    "executing": {**WHILE_RUNNING, "skip fix": "the cell is running"},
    "closed": dict.fromkeys(COMMANDS, "the session is closed"),
}
"""What differs from EVERYWHERE. A text is a refusal, or the types of the events recorded."""


def test_the_table_has_every_command() -> None:
    assert {type(each) for each in COMMANDS.values()} == set(get_args(get_args(Command)[0]))
    assert set(EVERYWHERE) == set(COMMANDS)


def outcome(state: SessionState, command: Command) -> Step | str:
    """The step, or in words: the refusal, the events to record, how many requests it takes back."""
    try:
        step = step_for(state, command, "alice", NOW)
    except CommandRefused as refusal:
        return str(refusal)
    if isinstance(step, Record):
        return " ".join(event.type for event in step.events)
    if isinstance(step, Close) and step.revoked:
        return f"closes with {len(step.revoked)} revoked"
    return step


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("said", COMMANDS)
def test_every_command_in_every_state(name: str, said: str) -> None:
    expected = {**EVERYWHERE, **OTHERWISE.get(name, {})}[said]
    found = outcome(STATES[name], COMMANDS[said])
    if isinstance(expected, str):
        assert isinstance(found, str)
        assert expected in found
        assert "\n" not in found
    else:
        assert found == expected


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("said", [name for name in COMMANDS if name != "drive"])
def test_only_the_driver_does_more_than_take_notes(name: str, said: str) -> None:
    if name == "closed":
        return
    command = COMMANDS[said]
    if isinstance(command, AddNote):
        if command.cell is None:
            assert isinstance(step_for(STATES[name], command, "bob", NOW), Record)
        return
    with pytest.raises(CommandRefused, match="alice drives this session"):
        step_for(STATES[name], command, "bob", NOW)


def test_an_empty_seat_drives_nothing() -> None:
    state = after(DriverChanged(data=DriverData(person=None)))
    with pytest.raises(CommandRefused, match="nobody drives"):
        step_for(state, RunCell(cell="look"), "alice", NOW)
    step = step_for(state, TakeDriver(), "bob", NOW)
    assert isinstance(step, Record)


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_a_taken_seat_is_not_taken_without_a_reason(reason: str) -> None:
    with pytest.raises(CommandRefused, match="alice drives"):
        step_for(after(), TakeDriver(reason=reason), "bob", NOW)
    step = step_for(after(), TakeDriver(reason="shift ends"), "bob", NOW)
    assert isinstance(step, Record)
    [event] = step.events
    assert isinstance(event, DriverChanged)
    assert (event.data.person, event.data.reason) == ("bob", "shift ends")


@pytest.mark.parametrize("state", ["pending", "approved"])
def test_a_request_that_has_expired_is_asked_for_again_and_never_executed(state: str) -> None:
    step = step_for(STATES[state], RunCell(cell="fix"), "alice", EXPIRY)
    assert step == Ask("fix", instead_of="r-1")


def test_a_cell_runs_once_what_it_requires_is_done() -> None:
    events = (*EXECUTING, finished(name="fix"), ended(), started("x-2"), finished("error", "x-2"))
    with pytest.raises(CommandRefused, match="'Look'") as refusal:
        step_for(after(*events), RunCell(cell="check"), "alice", NOW)
    assert "'Fix'" not in refusal.value.message
    state = after(*events, started("x-3"), finished("ok", "x-3"))
    assert step_for(state, RunCell(cell="check"), "alice", NOW) == RunReadOnly("check")


def _unenforced(level: str, *, waived: bool) -> SessionState:
    report = SandboxReport(level=level, backend="none", kernel="Linux")  # type: ignore[arg-type]
    return fold_all([line(0, opened(sandbox=report, unenforced=waived))])


def test_nothing_adhoc_runs_where_no_sandbox_is_in_force() -> None:
    with pytest.raises(CommandRefused, match="no sandbox is in force"):
        step_for(_unenforced("none", waived=False), RunAdhoc(source="1"), "alice", NOW)
    for state in (_unenforced("none", waived=True), _unenforced("process", waived=False)):
        assert step_for(state, RunAdhoc(source="1"), "alice", NOW) == RunSource("1")


def test_closing_takes_back_every_open_request_and_no_other() -> None:
    state = after(
        requested(),
        decided("deny"),
        requested("r-2"),
        decided(request="r-2"),
        requested("r-3", "undo"),
    )
    step = step_for(state, CloseSession(), "alice", NOW)
    assert isinstance(step, Close)
    assert [event.request for event in step.revoked] == ["r-2", "r-3"]


def test_skipping_takes_back_an_open_request_of_that_cell_only() -> None:
    state = after(requested(), requested("r-2", "undo"))
    step = step_for(state, SkipCell(cell="fix", reason="known"), "alice", NOW)
    assert isinstance(step, Record)
    assert [event.request for event in step.events] == ["r-1", None]


@pytest.mark.parametrize("reason", [" ", "\t\n"])
def test_a_step_is_not_skipped_without_a_reason(reason: str) -> None:
    with pytest.raises(CommandRefused, match="why"):
        step_for(after(), SkipCell(cell="look", reason=reason), "alice", NOW)
