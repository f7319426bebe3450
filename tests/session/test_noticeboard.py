"""What approval channels are shown: every request once, and where it stands, whatever happens."""

import asyncio
from pathlib import Path

import pytest

from runbookd.api import AddNote, CloseSession, RevokeRequest, RunCell, SkipCell
from runbookd.approvals.channel import Ref
from runbookd.approvals.view import RequestView
from runbookd.errors import InputError
from runbookd.session import noticeboard
from tests.record.world import ManualClock
from tests.session.world import (
    FIX,
    LOOK,
    RESTART,
    Board,
    Daemon,
    Ground,
    notebook,
    policies,
    running,
)

BOOK = notebook(LOOK, FIX, RESTART)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noticeboard, "_AGAIN_S", 0.01)


async def posted(daemon: Daemon, session: str, request: str) -> None:
    await daemon.until(session, lambda state: "slack" in state.requests[request].posted)


async def shows(board: Board, request: str, state: str) -> None:
    async with asyncio.timeout(5):
        while not board.posted or board.shown(request) != state:
            await asyncio.sleep(0.005)


async def test_a_request_is_posted_and_recorded_where(daemon: Daemon, board: Board) -> None:
    session = await daemon.open(BOOK, incident="INC-7", severity=1)
    asked = await daemon.command(session, RunCell(cell="fix"))
    await posted(daemon, session, asked.request)
    [view] = board.posted
    assert (view.id, view.session) == (asked.request, session)
    assert (view.document.source, view.document.inputs) == ("resize(target)", {"target": "40"})
    assert (view.state, view.quorum, view.groups) == ("pending", 1, ("commanders",))
    assert (view.incident, view.severity, view.digest) == (
        "INC-7",
        1,
        daemon.state(session).requests[asked.request].digest,
    )
    assert daemon.state(session).requests[asked.request].posted == {"slack": {"ts": "1"}}
    assert view.checkpoint_note.startswith(f"host/runbookd/{session}\n"), "an outside copy"


async def test_every_state_is_shown(daemon: Daemon, board: Board) -> None:
    session = await daemon.open(BOOK)
    asked = await daemon.command(session, RunCell(cell="fix"))
    await posted(daemon, session, asked.request)
    await daemon.console(asked.request, "dana")
    await shows(board, asked.request, "approved")
    await daemon.command(session, RunCell(cell="fix"))
    await shows(board, asked.request, "done")
    assert "executing" in [view.state for _, view in board.updates]
    assert all(ref == {"ts": "1"} for ref, _ in board.updates)
    while not board.threads:
        await asyncio.sleep(0.005)
    [(ref, text)] = board.threads
    assert ref == {"ts": "1"}
    assert text.startswith("Result: ok after 0.0 s\n")
    assert f"host/runbookd/{session}\n" in text


@pytest.mark.parametrize(
    ("command", "state"),
    [
        (lambda request: RevokeRequest(request=request), "revoked"),
        (lambda request: SkipCell(cell="fix", reason="known"), "revoked"),
        (lambda request: CloseSession(), "revoked"),
    ],
)
async def test_a_request_that_is_taken_back_is_shown_so(
    daemon: Daemon, board: Board, command: object, state: str
) -> None:
    session = await daemon.open(BOOK)
    asked = await daemon.command(session, RunCell(cell="fix"))
    await posted(daemon, session, asked.request)
    await daemon.command(session, command(asked.request))  # type: ignore[operator]
    await shows(board, asked.request, state)


async def test_a_request_that_another_took_the_place_of_is_shown_so(
    daemon: Daemon, board: Board, clock: ManualClock
) -> None:
    session = await daemon.open(BOOK)
    first = await daemon.command(session, RunCell(cell="fix"))
    await posted(daemon, session, first.request)
    clock.forward(minutes=15)
    second = await daemon.command(session, RunCell(cell="fix"))
    assert daemon.state(session).requests[first.request].state == "superseded"
    await posted(daemon, session, second.request)
    await shows(board, first.request, "superseded")
    assert board.shown(second.request) == "pending"


async def test_a_request_that_expired_is_shown_so(
    daemon: Daemon, board: Board, clock: ManualClock
) -> None:
    session = await daemon.open(BOOK)
    asked = await daemon.command(session, RunCell(cell="fix"))
    await posted(daemon, session, asked.request)
    clock.forward(minutes=15)
    await daemon.command(session, AddNote(text="wakes the session"))
    await shows(board, asked.request, "expired")
    assert daemon.types(session).count("approval.expired") == 1


async def test_while_a_channel_is_away_it_is_tried_again_and_then_shows_the_request_once(
    daemon: Daemon, board: Board
) -> None:
    board.away = True
    session = await daemon.open(BOOK)
    asked = await daemon.command(session, RunCell(cell="fix"))
    async with asyncio.timeout(5):
        while board.refused < 3:
            await asyncio.sleep(0.005)
    assert not daemon.state(session).requests[asked.request].posted
    board.away = False
    await posted(daemon, session, asked.request)
    assert [view.id for view in board.posted] == [asked.request]


async def test_a_busy_session_does_not_hammer_a_channel_that_is_away(
    daemon: Daemon, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noticeboard, "_AGAIN_S", 60)
    board.away = True
    session = await daemon.open(BOOK)
    await daemon.command(session, RunCell(cell="fix"))
    for number in range(50):
        await daemon.command(session, AddNote(text=str(number)))
    assert board.refused <= 1


async def test_what_was_settled_while_the_channel_was_away_is_not_posted_any_more(
    daemon: Daemon, board: Board
) -> None:
    board.away = True
    session = await daemon.open(BOOK)
    asked = await daemon.command(session, RunCell(cell="fix"))
    await daemon.console(asked.request, "dana", "deny", "no")
    board.away = False
    other = await daemon.command(session, RunCell(cell="restart"))
    await posted(daemon, session, other.request)
    assert [view.id for view in board.posted] == [other.request]


class SlowBoard(Board):
    """A channel whose messages take until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.sending = asyncio.Event()
        self.go = asyncio.Event()

    async def post(self, view: RequestView) -> Ref:
        self.sending.set()
        await self.go.wait()
        return await super().post(view)


@pytest.mark.parametrize("quorum", [1, 2])
async def test_a_decision_that_came_while_the_message_was_on_its_way_is_shown_in_it(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground, quorum: int
) -> None:
    board = SlowBoard()
    made = Daemon(tmp_path, clock=clock, ground=ground, rules=policies(quorum), boards=(board,))
    async with running(made) as daemon:
        session = await daemon.open(BOOK)
        asked = await daemon.command(session, RunCell(cell="fix"))
        await board.sending.wait()
        assert (await daemon.console(asked.request, "dana")).accepted
        board.go.set()
        await posted(daemon, session, asked.request)
        async with asyncio.timeout(5):
            while not board.updates:
                await asyncio.sleep(0.005)
        _, view = board.updates[-1]
        assert view.approved_by == ("dana",)
        assert view.state == ("approved" if quorum == 1 else "pending")


class RefusingBoard(Board):
    """A channel that can never show what it is given."""

    async def post(self, view: RequestView) -> Ref:
        raise InputError("too long to be shown")


async def test_a_channel_that_can_never_show_a_request_keeps_no_other_from_it(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground, board: Board
) -> None:
    boards = (RefusingBoard("pager"), board)
    made = Daemon(tmp_path, clock=clock, ground=ground, rules=policies(), boards=boards)
    async with running(made) as daemon:
        session = await daemon.open(BOOK)
        asked = await daemon.command(session, RunCell(cell="fix"))
        await posted(daemon, session, asked.request)
        assert [view.id for view in board.posted] == [asked.request]


async def test_after_a_restart_what_is_shown_is_brought_up_to_date_and_nothing_posted_twice(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground
) -> None:
    before, after = Board(), Board()
    first = Daemon(tmp_path / "one", clock=clock, ground=ground, rules=policies(), boards=(before,))
    await first.start()
    session = await first.open(BOOK)
    shown = await first.command(session, RunCell(cell="fix"))
    await posted(first, session, shown.request)
    await first.console(shown.request, "dana")
    before.away = True
    unshown = await first.command(session, RunCell(cell="restart"))
    await first.crashed(tmp_path / "two")
    second = Daemon(tmp_path / "two", clock=clock, ground=ground, rules=policies(), boards=(after,))
    async with running(second):
        await posted(second, session, unshown.request)
        assert [view.id for view in after.posted] == [unshown.request]
        assert [(ref["ts"], view.state) for ref, view in after.updates] == [("1", "approved")]
    third = Daemon(
        tmp_path / "two", clock=clock, ground=ground, rules=policies(), boards=(quiet := Board(),)
    )
    async with running(third):
        async with asyncio.timeout(5):
            while len(quiet.updates) < 2:
                await asyncio.sleep(0.005)
        assert quiet.posted == []
