"""The state of a session is a pure fold over its record: every event, every mark, every refusal."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookd.errors import RecordError
from runbookd.events import (
    EVENT_TYPES,
    AdhocFinished,
    AdhocStarted,
    AdhocStartedData,
    ApprovalPosted,
    ApprovalRefused,
    CellSkipped,
    CellTicked,
    CheckpointData,
    Checkpointed,
    ClosedData,
    ConnectorData,
    ConnectorRequested,
    DriverChanged,
    DriverData,
    Event,
    FinishedData,
    KernelDied,
    KernelEnded,
    NoteAdded,
    NoteData,
    PostedData,
    ReasonData,
    Recorded,
    Recovered,
    RecoveredData,
    RefusedData,
    SandboxReport,
    SessionClosed,
)
from runbookd.session.state import OPEN_REQUEST, SessionState, fold, fold_all
from tests.session.script import (
    after,
    claimed,
    decided,
    ended,
    expired,
    finished,
    gone,
    kernel,
    line,
    lines,
    opened,
    output,
    requested,
    revoked,
    started,
)

CONNECTOR = ConnectorRequested(
    data=ConnectorData(
        execution="x-1",
        lane="gated",
        connector="checkout",
        method="GET",
        path="/",
        status=200,
        bytes=1,
        duration_ms=1,
    )
)

# Each type of event where it can come, with what comes before it.
ALL: list[tuple[Event, ...]] = [
    (SessionClosed(data=ClosedData()),),
    (DriverChanged(data=DriverData(person="bob")),),
    (kernel(),),
    (kernel(), KernelDied(data=gone())),
    (kernel(), KernelEnded(data=gone())),
    (started(),),
    (started(), output()),
    (started(), finished()),
    (CellSkipped(cell="look", data=ReasonData(reason="known")),),
    (CellTicked(cell="hands", data=NoteData(text="called")),),
    (AdhocStarted(data=AdhocStartedData(execution="x-1", source="1", timeout_s=60)),),
    (
        AdhocStarted(data=AdhocStartedData(execution="x-1", source="1", timeout_s=60)),
        AdhocFinished(data=FinishedData(execution="x-1", status="ok", duration_ms=1)),
    ),
    (NoteAdded(data=NoteData(text="note")),),
    (requested(),),
    (
        requested(),
        ApprovalPosted(
            cell="fix", request="r-1", data=PostedData(channel="slack", ref={"ts": "1"})
        ),
    ),
    (requested(), decided()),
    (
        requested(),
        ApprovalRefused(
            cell="fix",
            request="r-1",
            data=RefusedData(decision="approve", person="eve", via="slack", reason="no"),
        ),
    ),
    (requested(), expired()),
    (requested(), revoked()),
    (requested(), decided(), claimed()),
    (requested(), decided(), claimed(), ended()),
    (CONNECTOR,),
    (Checkpointed(data=CheckpointData(note="note")),),
    (Recovered(data=RecoveredData(executions=())),),
]


def test_every_type_of_event_is_folded() -> None:
    folded = {sample[-1].type for sample in ALL} | {"session.opened"}
    assert folded == EVENT_TYPES
    for sample in ALL:
        assert after(*sample).seq == len(sample) + 1


def test_the_opening_settles_what_the_session_is() -> None:
    state = after()
    assert state.id == "20261124-020731-checkout-3f9a"
    assert state.opened is not None
    assert (state.opened_by, state.driver, state.seq) == ("alice", "alice", 1)
    assert list(state.cells) == ["look", "fix", "check", "undo", "hands"]
    assert {each.mark for each in state.cells.values()} == {"todo"}
    assert not state.closed


def test_a_line_out_of_order_is_refused() -> None:
    state = after(NoteAdded(data=NoteData(text="one")))
    for seq in (0, 1, 3):
        with pytest.raises(RecordError, match=f"line {seq} of the record came where line 2"):
            fold(state, line(seq, NoteAdded(data=NoteData(text="two"))))


def test_a_record_opens_once_and_first() -> None:
    with pytest.raises(RecordError, match=r"session\.opened must be the first"):
        fold(SessionState(), line(0, NoteAdded(data=NoteData(text="no opening"))))
    with pytest.raises(RecordError, match=r"session\.opened must be the first"):
        fold(after(), line(1, opened()))


@pytest.mark.parametrize(
    "event",
    [
        started(name="nowhere"),
        output(execution="x-9"),
        finished(execution="x-9"),
        AdhocFinished(data=FinishedData(execution="x-9", status="ok", duration_ms=1)),
        CellSkipped(cell="nowhere", data=ReasonData(reason="known")),
        CellTicked(cell="nowhere", data=NoteData(text="")),
        requested(name="nowhere"),
        ApprovalPosted(request="r-9", data=PostedData(channel="slack", ref={})),
        ApprovalRefused(
            request="r-9",
            data=RefusedData(decision="deny", person="eve", via="console", reason="no"),
        ),
        decided(request="r-9"),
        expired("r-9"),
        revoked("r-9"),
        claimed("r-9"),
        ended(request="r-9"),
        Recovered(data=RecoveredData(executions=("x-9",))),
    ],
    ids=lambda event: event.type,
)
def test_what_no_line_named_before_is_named_in_the_refusal(event: Event) -> None:
    with pytest.raises(RecordError, match=r"line 1 of the record speaks of '(nowhere|x-9|r-9)'"):
        after(event)


@pytest.mark.parametrize(
    "event",
    [
        started().model_copy(update={"cell": None}),
        CellSkipped(data=ReasonData(reason="known")),
        requested().model_copy(update={"request": None}),
        decided().model_copy(update={"request": None}),
        revoked().model_copy(update={"request": None}),
    ],
    ids=lambda event: event.type,
)
def test_an_event_without_its_cell_or_request_is_refused(event: Event) -> None:
    with pytest.raises(RecordError, match=r"speaks of 'a (cell|request)'"):
        after(event)


# ---- cells -----------------------------------------------------------------------------------


def test_a_cell_runs_and_ends() -> None:
    state = after(started())
    assert (state.running, state.cells["look"].mark, state.cells["look"].runs) == (
        "x-1",
        "running",
        1,
    )
    assert state.executions["x-1"].status is None
    state = after(started(), output(), output(), finished())
    run = state.executions["x-1"]
    assert state.running is None
    assert (run.status, run.duration_ms, run.error, run.lane_hint) == ("ok", 7, "e", "h")
    assert (run.output_events, run.started_seq, run.finished_seq) == (2, 1, 4)
    assert state.cells["look"].mark == "done"


@pytest.mark.parametrize(
    ("status", "mark"),
    [
        ("ok", "done"),
        ("error", "failed"),
        ("timeout", "failed"),
        ("interrupted", "failed"),
        ("died", "failed"),
        ("unknown", "unknown"),
    ],
)
def test_a_cell_is_marked_by_how_it_ended(status: str, mark: str) -> None:
    assert after(started(), finished(status)).cells["look"].mark == mark


def test_a_cell_that_runs_again_is_counted_and_marked_anew() -> None:
    state = after(started(), finished("error"), started("x-2"))
    assert (state.cells["look"].mark, state.cells["look"].runs) == ("running", 2)
    assert state.cells["look"].execution == "x-2"
    assert state.executions["x-1"].status == "error"


def test_an_end_of_something_older_does_not_end_what_runs() -> None:
    state = after(started(), started("x-2"), finished(execution="x-1"))
    assert state.running == "x-2"


def test_skipped_and_ticked_cells_keep_the_reason() -> None:
    state = after(
        CellSkipped(cell="look", data=ReasonData(reason="known")),
        CellTicked(cell="hands", data=NoteData(text="called them")),
    )
    assert (state.cells["look"].mark, state.cells["look"].reason) == ("skipped", "known")
    assert (state.cells["hands"].mark, state.cells["hands"].reason) == ("done", "called them")


def test_an_adhoc_source_belongs_to_no_cell() -> None:
    begun = AdhocStarted(data=AdhocStartedData(execution="x-1", source="1 + 1", timeout_s=60))
    state = after(begun)
    assert state.running == "x-1"
    assert (state.executions["x-1"].cell, state.executions["x-1"].source) == (None, "1 + 1")
    assert {each.mark for each in state.cells.values()} == {"todo"}
    over = AdhocFinished(data=FinishedData(execution="x-1", status="error", duration_ms=1))
    state = after(begun, over)
    assert state.running is None
    assert state.executions["x-1"].status == "error"


def test_a_cell_misses_what_it_requires_until_that_is_done() -> None:
    assert after().missing("check") == ("look", "fix")
    assert after(started(), finished()).missing("check") == ("fix",)
    skipped = CellSkipped(cell="look", data=ReasonData(reason="known"))
    assert after(skipped).missing("check") == ("look", "fix"), "skipped is not succeeded"
    assert after().missing("look") == ()


def test_the_walk_goes_through_all_but_rollbacks() -> None:
    def skip(name: str) -> CellSkipped:
        return CellSkipped(cell=name, data=ReasonData(reason="known"))

    assert after().next_cell() == "look"
    assert after(skip("look")).next_cell() == "fix"
    assert after(skip("look"), skip("fix"), skip("check")).next_cell() == "hands"
    assert after(*map(skip, ("look", "fix", "check", "hands"))).next_cell() is None


# ---- requests --------------------------------------------------------------------------------


def test_a_request_waits_is_approved_executes_and_is_done() -> None:
    steps: list[tuple[Event, str, str]] = [
        (requested(), "pending", "waiting"),
        (decided(), "approved", "approved"),
        (claimed(), "executing", "approved"),
        (started(name="fix", request="r-1"), "executing", "running"),
        (finished(name="fix"), "executing", "done"),
        (ended(), "done", "done"),
    ]
    events: list[Event] = []
    for event, request, mark in steps:
        events.append(event)
        state = after(*events)
        assert (state.requests["r-1"].state, state.cells["fix"].mark) == (request, mark)
    asked = state.requests["r-1"]
    assert (asked.decided_by, asked.decided_via, asked.reason) == ("dana", "slack", "because")
    assert (asked.execution, asked.requester, asked.seq) == ("x-1", "alice", 1)
    assert asked.requested_at == "2026-11-24T02:07:01.000000Z"
    assert asked.decided_at == "2026-11-24T02:07:02.000000Z"
    assert state.executions["x-1"].request == "r-1"
    assert state.executions["x-1"].lane == "gated"


@pytest.mark.parametrize("status", ["done", "failed", "unknown"])
def test_a_request_ends_as_its_execution_did(status: str) -> None:
    state = after(requested(), decided(), claimed(), ended(status))
    assert state.requests["r-1"].state == status
    assert status not in OPEN_REQUEST


@pytest.mark.parametrize(
    ("events", "request_state", "mark"),
    [
        ((decided("deny"),), "denied", "denied"),
        ((decided(complete=False), decided("deny", "lee")), "denied", "denied"),
        ((expired(),), "expired", "expired"),
        ((decided(), expired()), "expired", "expired"),
        ((revoked(),), "revoked", "todo"),
        ((decided(), revoked()), "revoked", "todo"),
    ],
)
def test_a_request_that_led_to_nothing_marks_its_cell(
    events: tuple[Event, ...], request_state: str, mark: str
) -> None:
    state = after(requested(quorum=2), *events)
    assert state.requests["r-1"].state == request_state
    assert state.cells["fix"].mark == mark
    assert state.requests["r-1"].reason


def test_a_quorum_gathers_approvals() -> None:
    state = after(requested(quorum=2), decided(complete=False))
    assert state.requests["r-1"].state == "pending"
    assert state.requests["r-1"].approved_by == ("dana",)
    assert state.requests["r-1"].decided_by is None
    state = after(requested(quorum=2), decided(complete=False), decided(person="lee"))
    assert state.requests["r-1"].state == "approved"
    assert state.requests["r-1"].approved_by == ("dana", "lee")
    assert state.requests["r-1"].decided_by == "lee"


def test_a_denial_is_no_approval() -> None:
    state = after(requested(quorum=2), decided(complete=False), decided("deny", "lee"))
    assert state.requests["r-1"].approved_by == ("dana",)
    assert state.requests["r-1"].decided_by == "lee"


def test_a_click_that_did_not_count_changes_nothing_but_a_number() -> None:
    refused = ApprovalRefused(
        request="r-1",
        data=RefusedData(decision="approve", person="eve", via="slack", reason="no"),
    )
    state = after(requested(), refused, refused)
    assert state.requests["r-1"].state == "pending"
    assert state.requests["r-1"].refusals == 2
    assert state.requests["r-1"].approved_by == ()


def test_a_request_that_took_anothers_place_holds_the_cell() -> None:
    state = after(revoked_first := requested(), revoked(by="r-2"), requested("r-2"))
    assert revoked_first.request == "r-1"
    assert state.requests["r-1"].state == "superseded"
    assert state.cells["fix"].mark == "waiting"
    found = state.request_of("fix")
    assert found is not None
    assert found.id == "r-2"
    late = after(requested(), requested("r-2"), expired("r-1"))
    assert late.cells["fix"].mark == "waiting", "an older request does not mark the cell"
    assert late.requests["r-1"].state == "expired"


def test_where_a_request_is_shown_is_kept_for_each_channel() -> None:
    def posted(channel: str, ts: str) -> ApprovalPosted:
        return ApprovalPosted(request="r-1", data=PostedData(channel=channel, ref={"ts": ts}))

    state = after(requested(), posted("slack", "1"), posted("pager", "2"))
    assert state.requests["r-1"].posted == {"slack": {"ts": "1"}, "pager": {"ts": "2"}}


def test_a_cell_that_was_never_asked_for_has_no_request() -> None:
    assert after().request_of("fix") is None


# ---- the rest --------------------------------------------------------------------------------


def test_kernels_come_and_go() -> None:
    assert after(kernel()).kernel == "k-1"
    assert after(kernel(lane="gated")).kernel is None, "only the read-only one is kept"
    for left in (KernelDied(data=gone()), KernelEnded(data=gone())):
        state = after(kernel(), left)
        assert (state.kernel, state.kernels_lost) == (None, 1)
        other = after(kernel(), left.model_copy(update={"data": gone("k-9", "gated")}))
        assert (other.kernel, other.kernels_lost) == ("k-1", 0)


def test_a_crash_leaves_what_ran_unknown() -> None:
    state = after(kernel(), started(), Recovered(data=RecoveredData(executions=("x-1",))))
    assert state.executions["x-1"].status == "unknown"
    assert state.cells["look"].mark == "unknown"
    assert (state.running, state.kernel, state.kernels_lost) == (None, None, 1)


def test_a_crash_under_a_gated_cell_leaves_its_approval_unknown_and_used() -> None:
    state = after(
        requested(),
        decided(),
        claimed(),
        started(name="fix", request="r-1"),
        Recovered(data=RecoveredData(executions=("x-1",))),
    )
    assert state.requests["r-1"].state == "unknown"
    assert state.cells["fix"].mark == "unknown"
    assert state.requests["r-1"].state not in OPEN_REQUEST


def test_a_crash_leaves_what_waits_as_it_was() -> None:
    waiting = after(requested(), decided(), Recovered(data=RecoveredData(executions=())))
    assert waiting.requests["r-1"].state == "approved"
    assert waiting.cells["fix"].mark == "approved"


def test_a_crash_under_an_adhoc_source_marks_no_cell() -> None:
    begun = AdhocStarted(data=AdhocStartedData(execution="x-1", source="1", timeout_s=60))
    state = after(begun, Recovered(data=RecoveredData(executions=("x-1",))))
    assert state.executions["x-1"].status == "unknown"
    assert {each.mark for each in state.cells.values()} == {"todo"}


def test_the_seat_the_notes_the_checkpoint_and_the_end() -> None:
    state = after(
        DriverChanged(data=DriverData(person=None)),
        NoteAdded(data=NoteData(text="one")),
        NoteAdded(data=NoteData(text="two")),
        Checkpointed(data=CheckpointData(note="signed")),
        kernel(),
        started(),
        SessionClosed(data=ClosedData()),
    )
    assert (state.driver, state.notes) == (None, 2)
    assert (state.checkpoint, state.checkpoint_seq) == ("signed", 4)
    assert (state.closed, state.closed_ts) == (True, "2026-11-24T02:07:07.000000Z")
    assert (state.running, state.kernel) == (None, None)


def test_whether_read_only_cells_may_run_freely_is_settled_at_the_opening() -> None:
    none = SandboxReport(level="none", backend="none", kernel="Linux")
    full = SandboxReport(level="full", backend="test", kernel="Linux")
    for report, unenforced, enforced in (
        (full, False, True),
        (none, False, False),
        (none, True, True),
    ):
        data = opened(sandbox=report, unenforced=unenforced).data
        assert data.enforced is enforced


# ---- a pure function -------------------------------------------------------------------------

LIVES = st.lists(
    st.sampled_from([sample for sample in ALL if sample[-1].type != "session.closed"]), max_size=6
).map(lambda samples: lines(*(event for sample in samples for event in sample)))


@given(LIVES)
def test_the_same_lines_give_the_same_state(life: list[Recorded]) -> None:
    assert fold_all(life) == fold_all(life)


@given(LIVES, st.data())
def test_a_state_can_be_gone_on_with_from_any_line(life: list[Recorded], data: Any) -> None:
    cut = data.draw(st.integers(0, len(life)))
    assert fold_all(life[cut:], fold_all(life[:cut])) == fold_all(life)


@given(LIVES)
def test_folding_changes_neither_the_state_before_nor_the_line(life: list[Recorded]) -> None:
    state = SessionState()
    for each in life:
        before, same = copy.deepcopy(state), state
        told = each.to_json()
        state = fold(state, each)
        assert same == before
        assert each.to_json() == told
