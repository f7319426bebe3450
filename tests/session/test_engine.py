"""A session at work, with a real record and kernels that only log."""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbookd.api import (
    AddNote,
    CloseSession,
    Interrupt,
    RevokeRequest,
    RunAdhoc,
    RunCell,
    TakeDriver,
)
from runbookd.errors import (
    CommandRefused,
    InputError,
    KernelUnavailable,
    NotApproved,
    PolicyError,
    RecordUnwritable,
)
from runbookd.events import ApprovalRefused, CellFinished, Recovered
from runbookd.kernels.execution import Outcome
from runbookd.policy.model import Policies
from runbookd.record.redaction import Redactor
from runbookd.record.verify import verify
from tests.record.world import FULL, FaultyFiles, ManualClock
from tests.session.world import (
    AFTER,
    FIX,
    HANDS,
    LOOK,
    PEOPLE,
    RESTART,
    Board,
    Daemon,
    Ground,
    LogKernel,
    notebook,
    policies,
    running,
)

BOOK = notebook(LOOK, FIX, RESTART, HANDS, AFTER)


async def ask(daemon: Daemon, session: str, cell: str = "fix") -> str:
    accepted = await daemon.command(session, RunCell(cell=cell))
    assert accepted.request is not None
    return str(accepted.request)


async def approved(daemon: Daemon, session: str, cell: str = "fix") -> str:
    request = await ask(daemon, session, cell)
    decided = await daemon.console(request, "dana")
    assert decided.accepted, decided
    return request


# ---- one approved execution ------------------------------------------------------------------


async def test_an_approved_cell_runs_once_with_the_inputs_that_were_approved(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    request = await approved(daemon, session)
    ground.values["target"] = "999"
    await daemon.command(session, RunCell(cell="fix"))
    state = await daemon.settled(session)
    assert state.requests[request].state == "done"
    assert [(ran.source, ran.bound) for ran in ground.gated] == [
        ("resize(target)", {"target": "40"})
    ]
    again = await daemon.command(session, RunCell(cell="fix"))
    assert again.execution is None
    assert again.request not in {None, request}
    assert len(ground.gated) == 1


async def test_a_whole_session_verifies(daemon: Daemon) -> None:
    session = await daemon.open(BOOK)
    await daemon.command(session, RunCell(cell="look"))
    await daemon.settled(session)
    await approved(daemon, session)
    await daemon.command(session, RunCell(cell="fix"))
    await daemon.settled(session)
    await daemon.command(session, CloseSession(reason="over"))
    await daemon.end()
    report = verify(daemon.home / "sessions" / session)
    assert report.ok, list(report.lines())
    assert daemon.types(session)[-2:] == ["session.closed", "checkpoint"]


async def test_nothing_gated_runs_without_a_decision(daemon: Daemon, ground: Ground) -> None:
    session = await daemon.open(BOOK)
    await ask(daemon, session)
    with pytest.raises(CommandRefused, match="waits for approval"):
        await daemon.command(session, RunCell(cell="fix"))
    with pytest.raises(CommandRefused, match=r"requires 'resize\(target\)'"):
        await daemon.command(session, RunCell(cell="after"))
    assert ground.gated == []


async def test_two_who_press_run_at_once_execute_once(daemon: Daemon, ground: Ground) -> None:
    session = await daemon.open(BOOK)
    await approved(daemon, session)
    ground.hold()
    answers = await asyncio.gather(
        *(daemon.command(session, RunCell(cell="fix")) for _ in range(5)), return_exceptions=True
    )
    assert [isinstance(answer, CommandRefused) for answer in answers].count(False) == 1
    ground.release()
    await daemon.settled(session)
    assert len(ground.gated) == 1
    assert daemon.types(session).count("approval.claimed") == 1


async def test_every_gated_kernel_is_fresh_and_ended(daemon: Daemon, ground: Ground) -> None:
    session = await daemon.open(BOOK)
    for cell in ("fix", "restart", "fix"):
        await approved(daemon, session, cell)
        await daemon.command(session, RunCell(cell=cell))
        await daemon.settled(session)
    kernels = [ran.kernel for ran in ground.gated]
    assert len({kernel.id for kernel in kernels}) == 3
    assert all(kernel.ended for kernel in kernels)


async def test_outputs_are_handed_back_before_the_next_cell_can_run(
    daemon: Daemon, ground: Ground
) -> None:
    back = {**FIX, "runbookd": {**FIX["runbookd"], "outputs": ["changed"]}}
    session = await daemon.open(notebook(LOOK, back, AFTER))
    ground.values["changed"] = "[1, 2]"
    await approved(daemon, session)
    seen: list[Any] = []

    async def watch() -> None:
        async for piece in daemon.session(session).journal.follow():
            if b'"approval.finished"' in piece:
                [kernel] = [one for one in ground.kernels if one.lane == "read-only"]
                seen.append(dict(kernel.bound))
                return

    watching = asyncio.create_task(watch())
    await daemon.command(session, RunCell(cell="fix"))
    await daemon.settled(session)
    await watching
    assert seen == [{"changed": "[1, 2]"}]
    assert await daemon.command(session, RunCell(cell="after"))


async def test_outputs_that_no_line_could_hold_end_the_cell_and_are_said_to_be_too_long(
    daemon: Daemon, ground: Ground
) -> None:
    names = [f"v{number}" for number in range(40)]
    back = {**RESTART, "runbookd": {"mode": "gated", "risk": "low", "outputs": names}}
    session = await daemon.open(notebook(back))
    ground.values = dict.fromkeys(names, '"' + "x" * 60_000 + '"')
    request = await approved(daemon, session, "restart")
    await daemon.command(session, RunCell(cell="restart"))
    state = await daemon.settled(session)
    assert state.requests[request].state == "failed"
    run = state.executions[state.requests[request].execution or ""]
    assert run.status == "error"
    assert "it ran, but its outputs are too long" in run.error


async def test_outputs_that_the_other_kernel_does_not_take_are_told_with_the_end(
    daemon: Daemon, ground: Ground, board: Board
) -> None:
    back = {**RESTART, "runbookd": {"mode": "gated", "risk": "low", "outputs": ["changed"]}}
    session = await daemon.open(notebook(back))
    ground.values["changed"] = "1"
    request = await approved(daemon, session, "restart")
    await daemon.until(session, lambda state: state.requests[request].posted)
    ground.hold()
    await daemon.command(session, RunCell(cell="restart"))
    await daemon.until(session, lambda state: len(ground.gated) == 1)
    ground.bind_error = KernelUnavailable("it is gone")
    ground.release()
    state = await daemon.settled(session)
    run = state.executions[state.requests[request].execution or ""]
    assert "did not take its outputs: it is gone" in run.error
    async with asyncio.timeout(5):
        while not board.threads:
            await asyncio.sleep(0.005)


# ---- what changed in between -----------------------------------------------------------------


async def test_a_policy_that_changed_since_takes_the_approval_back(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    request = await approved(daemon, session)
    daemon.rules = policies(2)
    with pytest.raises(NotApproved, match="policy_digest changed"):
        await daemon.command(session, RunCell(cell="fix"))
    asked = daemon.state(session).requests[request]
    assert asked.state == "revoked"
    assert "policy_digest" in asked.reason
    assert ground.gated == []
    daemon.rules = policies(1)
    again = await daemon.command(session, RunCell(cell="fix"))
    assert again.request != request, "what was taken back does not come back"


async def test_a_sandbox_that_is_gone_since_takes_the_approval_back(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    await approved(daemon, session)
    ground.level = "none"
    with pytest.raises(NotApproved, match="may_touch changed"):
        await daemon.command(session, RunCell(cell="fix"))
    assert ground.gated == []


async def test_an_approval_that_expires_before_it_is_used_is_not_used(
    daemon: Daemon, ground: Ground, clock: ManualClock
) -> None:
    session = await daemon.open(BOOK)
    request = await approved(daemon, session)
    clock.forward(minutes=15)
    answer = await daemon.command(session, RunCell(cell="fix"))
    assert answer.execution is None
    assert daemon.state(session).requests[request].state in {"superseded", "expired"}
    assert ground.gated == []


async def test_a_clock_that_is_set_back_lengthens_no_approval(
    daemon: Daemon, ground: Ground, clock: ManualClock
) -> None:
    session = await daemon.open(BOOK)
    request = await approved(daemon, session)
    clock.forward(minutes=10)
    clock.time -= timedelta(hours=5)
    clock.forward(minutes=5)
    with contextlib.suppress(NotApproved):
        answer = await daemon.command(session, RunCell(cell="fix"))
        assert answer.execution is None, "the session saw it first, and asked anew"
    assert ground.gated == []
    assert daemon.state(session).requests[request].state in {"revoked", "expired"}


async def test_a_clock_that_is_set_back_lengthens_no_request(
    daemon: Daemon, clock: ManualClock
) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    clock.forward(minutes=10)
    clock.time -= timedelta(hours=5)
    clock.forward(minutes=5)
    decided = await daemon.console(request, "dana")
    assert (decided.accepted, decided.state) != (True, "approved")
    assert "expired" in decided.reason


async def test_a_request_expires_by_itself(daemon: Daemon, clock: ManualClock) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    clock.forward(minutes=15)
    await daemon.command(session, AddNote(text="wakes the session"))
    await daemon.until(session, lambda state: state.requests[request].state == "expired")
    late = await daemon.console(request, "dana")
    assert not late.accepted
    assert "expired" in late.reason


# ---- decisions -------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_nobody_decides_on_their_own_request(daemon: Daemon, decision: str) -> None:
    session = await daemon.open(BOOK, who="bob")
    accepted = await daemon.command(session, RunCell(cell="fix"), "bob")
    request = accepted.request
    for who in ("bob", "bob-phone"):
        console = await daemon.console(request, who, decision, "mine")
        slack = await daemon.slack(session, request, who, decision)
        for accepted, why in ((console.accepted, console.reason), (slack.accepted, slack.text)):
            assert not accepted
            assert "whoever asks cannot decide" in why
    assert daemon.state(session).requests[request].state == "pending"
    assert daemon.state(session).requests[request].refusals == 4
    assert daemon.types(session).count("approval.refused") == 4


async def test_a_refused_click_is_recorded_with_who_and_why(daemon: Daemon) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    reply = await daemon.slack(session, request, "mallory")
    assert not reply.accepted
    assert reply.state == "pending"
    [line] = [line for line in daemon.lines(session) if line.event.type == "approval.refused"]
    assert isinstance(line.event, ApprovalRefused)
    assert (line.actor.id, line.actor.auth) == ("mallory", "slack")
    assert (line.event.data.person, line.event.data.via) == ("mallory", "slack")
    assert "commanders" in line.event.data.reason


async def test_a_decision_is_on_the_disk_and_signed_before_anybody_is_told(
    daemon: Daemon,
) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    deciding = asyncio.create_task(daemon.console(request, "dana"))
    decided = await deciding
    types = daemon.types(session)
    assert decided.state == "approved"
    at = types.index("approval.decided")
    assert types[at + 1] == "checkpoint"


# ---- inputs that a kernel does not hand over -------------------------------------------------


async def reading(daemon: Daemon, ground: Ground, session: str) -> "asyncio.Task[Any]":
    """Alice asks for a cell whose inputs the kernel holds back."""
    ground.may_read.clear()
    asking = asyncio.create_task(daemon.command(session, RunCell(cell="fix")))
    async with asyncio.timeout(5):
        await ground.reading.wait()
    return asking


async def test_decisions_and_notes_are_taken_while_inputs_are_being_read(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    other = await ask(daemon, session, "restart")
    asking = await reading(daemon, ground, session)
    async with asyncio.timeout(5):
        assert (await daemon.console(other, "dana")).accepted
        await daemon.command(session, AddNote(text="it hangs"))
        await daemon.command(session, RevokeRequest(request=other, reason="not now"))
    assert not asking.done()
    ground.may_read.set()
    assert (await asking).request is not None


async def test_nothing_else_uses_the_kernel_while_inputs_are_being_read(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    asking = await reading(daemon, ground, session)
    running = asyncio.create_task(daemon.command(session, RunCell(cell="look")))
    await daemon.command(session, AddNote(text="it hangs"))
    assert "cell.started" not in daemon.types(session)
    ground.may_read.set()
    await asking
    await running
    types = daemon.types(session)
    assert types.index("approval.requested") < types.index("cell.started")
    await daemon.settled(session)


async def test_who_lost_the_seat_while_inputs_were_read_asks_for_nothing(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    asking = await reading(daemon, ground, session)
    await daemon.command(session, TakeDriver(reason="handover"), who="bob")
    ground.may_read.set()
    with pytest.raises(CommandRefused, match="bob drives"):
        await asking
    assert "approval.requested" not in daemon.types(session)


async def test_the_first_decision_wins_and_later_ones_are_told_whose_it_was(
    daemon: Daemon,
) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    answers = await asyncio.gather(
        daemon.console(request, "dana"),
        daemon.console(request, "lee", "deny", "no"),
        daemon.slack(session, request, "bob", "deny"),
    )
    assert [answer.accepted for answer in answers] == [True, False, False]
    assert "approved already by dana" in answers[1].reason  # type: ignore[union-attr]
    assert "approved already by dana" in answers[2].text  # type: ignore[union-attr]
    assert daemon.types(session).count("approval.decided") == 1


async def test_a_quorum_is_of_people(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground
) -> None:
    made = Daemon(tmp_path, clock=clock, ground=ground, rules=policies(2))
    async with running(made) as daemon:
        session = await daemon.open(BOOK)
        request = await ask(daemon, session)
        assert (await daemon.slack(session, request, "bob")).accepted
        for again in (
            await daemon.slack(session, request, "bob-phone"),
            await daemon.slack(session, request, "bob"),
        ):
            assert not again.accepted
            assert "another person is needed" in again.text
        with pytest.raises(CommandRefused, match="waits"):
            await daemon.command(session, RunCell(cell="fix"))
        assert (await daemon.console(request, "lee")).state == "approved"
        await daemon.command(session, RunCell(cell="fix"))
        assert (await daemon.settled(session)).requests[request].state == "done"


async def test_a_click_on_something_else_does_not_count(daemon: Daemon) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    reply = await daemon.slack(session, request, "dana", digest="0" * 64)
    assert not reply.accepted
    assert "another digest" in reply.text
    reply = await daemon.slack(session, request, "dana", problems=("a guest",))
    assert not reply.accepted
    assert "a guest" in reply.text


async def test_a_decision_on_an_unknown_request_is_refused(daemon: Daemon) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    with pytest.raises(InputError, match="no open request 'r-nothing'"):
        await daemon.console("r-nothing", "dana")
    other = await daemon.open(BOOK, who="bob")
    answer = await daemon.session(other).decide(
        request,
        None,  # type: ignore[arg-type]
        daemon.service.actor(PEOPLE["dana"][1]),
        via="console",
        reason="",
    )
    assert not answer.accepted
    decisions = {"approval.decided", "approval.refused"}
    assert not decisions & {*daemon.types(session), *daemon.types(other)}


async def test_where_the_policies_cannot_be_read_nobody_decides(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    good = daemon.rules
    click_by = daemon.service._console_approver(PEOPLE["dana"][1])

    def broken() -> Policies:
        raise PolicyError("production.yaml:3: unknown key", "correct it")

    from runbookd.policy.decide import Click

    live = daemon.session(session)
    click = Click("approve", live.state.requests[request].digest, click_by, daemon.clock.now())
    actor = daemon.service.actor(PEOPLE["dana"][1])
    tools = live._tools
    monkeypatch.setattr(live, "_tools", type(tools)(tools.clock, broken, (), tools.token))
    answer = await live.decide(request, click, actor, via="console", reason="")
    assert not answer.accepted
    assert "nobody can decide: production.yaml:3" in answer.reason
    with pytest.raises(PolicyError):
        await daemon.command(session, RunCell(cell="restart"))
    assert daemon.state(session).requests[request].state == "pending"
    assert daemon.rules is good


async def test_a_policy_may_have_it_run_at_once(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground, board: Board
) -> None:
    rules = policies(on_approval="run")
    made = Daemon(tmp_path, clock=clock, ground=ground, rules=rules, boards=(board,))
    async with running(made) as daemon:
        session = await daemon.open(BOOK)
        request = await approved(daemon, session)
        state = await daemon.until(session, lambda state: state.requests[request].state == "done")
        assert state.running is None
        [line] = [line for line in daemon.lines(session) if line.event.type == "approval.claimed"]
        assert line.actor.kind == "daemon"
        assert len(ground.gated) == 1


async def test_an_approval_that_cannot_run_at_once_is_shown_all_the_same(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground, board: Board
) -> None:
    rules = policies(on_approval="run")
    made = Daemon(tmp_path, clock=clock, ground=ground, rules=rules, boards=(board,))
    async with running(made) as daemon:
        session = await daemon.open(BOOK)
        request = await ask(daemon, session)
        await daemon.until(session, lambda state: state.requests[request].posted)

        class Unfindable:
            @property
            def terms(self) -> Any:
                raise KernelUnavailable("there is no kernelspec 'python3' any more")

        daemon.session(session)._lanes = Unfindable()  # type: ignore[assignment]
        assert (await daemon.console(request, "dana")).accepted
        async with asyncio.timeout(5):
            while board.shown(request) != "approved":
                await asyncio.sleep(0.005)
        assert ground.gated == []


# ---- the driver's seat -----------------------------------------------------------------------


async def test_whoever_takes_the_seat_drives_and_the_other_does_not(daemon: Daemon) -> None:
    session = await daemon.open(BOOK)
    with pytest.raises(CommandRefused, match="alice drives"):
        await daemon.command(session, RunCell(cell="look"), "bob")
    await daemon.command(session, TakeDriver(reason="shift ends"), "bob")
    await daemon.command(session, RunCell(cell="look"), "bob")
    await daemon.settled(session)
    with pytest.raises(CommandRefused, match="bob drives"):
        await daemon.command(session, RunCell(cell="look"))


async def test_whoever_asked_stays_the_requester_when_another_drives(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    await daemon.command(session, TakeDriver(reason="shift ends"), "bob")
    assert not (await daemon.console(request, "alice")).accepted
    assert (await daemon.console(request, "dana")).accepted
    await daemon.command(session, RunCell(cell="fix"), "bob")
    assert (await daemon.settled(session)).requests[request].requester == "alice"
    assert len(ground.gated) == 1


# ---- failures --------------------------------------------------------------------------------


async def test_a_gated_kernel_that_does_not_start_uses_the_approval_up(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    request = await approved(daemon, session)
    ground.start_error = KernelUnavailable("no sandbox")
    await daemon.command(session, RunCell(cell="fix"))
    state = await daemon.settled(session)
    assert state.requests[request].state == "failed"
    assert state.executions[state.requests[request].execution or ""].error == "no sandbox"
    ground.start_error = None
    again = await daemon.command(session, RunCell(cell="fix"))
    assert again.execution is None, "a new run needs a new approval"


@pytest.mark.parametrize("doing", ["bind", "execute"])
async def test_a_gated_kernel_that_is_gone_before_it_is_sent_anything_ends_the_execution(
    daemon: Daemon, ground: Ground, doing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any, **__: Any) -> Any:
        raise KernelUnavailable("the gated kernel is not running")

    session = await daemon.open(BOOK)
    request = await approved(daemon, session)
    monkeypatch.setattr(LogKernel, doing, gone)
    await daemon.command(session, RunCell(cell="fix"))
    async with asyncio.timeout(5):
        state = await daemon.settled(session)
    assert state.requests[request].state == "failed"
    assert state.executions[state.requests[request].execution or ""].status == "died"
    assert ground.gated == []


@pytest.mark.parametrize("status", ["error", "timeout", "interrupted", "died"])
async def test_a_gated_cell_that_fails_uses_the_approval_up(
    daemon: Daemon, ground: Ground, status: str
) -> None:
    session = await daemon.open(BOOK)
    ground.outcome = Outcome(status, 5, "it broke")  # type: ignore[arg-type]
    request = await approved(daemon, session)
    await daemon.command(session, RunCell(cell="fix"))
    state = await daemon.settled(session)
    assert state.requests[request].state == "failed"
    assert state.cells["fix"].mark == "failed"
    assert (await daemon.command(session, RunCell(cell="fix"))).execution is None
    assert all(kernel.ended for kernel in ground.kernels if kernel.lane == "gated")


@pytest.mark.parametrize("cell", ["look", "fix"])
async def test_a_limit_that_a_cell_reached_is_explained_in_either_lane(
    daemon: Daemon, ground: Ground, cell: str
) -> None:
    session = await daemon.open(BOOK)
    if cell == "fix":
        await approved(daemon, session)
    ground.outcome = Outcome("error", 5, "MemoryError")
    await daemon.command(session, RunCell(cell=cell))
    state = await daemon.settled(session)
    [run] = state.executions.values()
    assert f"`memory` of lanes.{run.lane} in the policy" in run.lane_hint


async def test_an_error_is_cut_after_its_secrets_are_out(daemon: Daemon, ground: Ground) -> None:
    session = await daemon.open(BOOK)
    ground.outcome = Outcome("error", 5, "x" * 4085 + "AKIA" + "ABCDEFGHIJKLMNOP" + "y" * 9000)
    await daemon.command(session, RunCell(cell="look"))
    state = await daemon.settled(session)
    [run] = state.executions.values()
    assert run.error == "x" * 4085 + "[redacted:a"


async def test_a_cell_that_is_interrupted_while_its_kernel_starts_never_runs(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    request = await approved(daemon, session)
    live = daemon.session(session)
    lanes = live._executions._lanes
    starting, go = asyncio.Event(), asyncio.Event()
    start = lanes.start_gated

    async def slowly(claim: Any) -> Any:
        starting.set()
        await go.wait()
        return await start(claim)

    lanes.start_gated = slowly  # type: ignore[method-assign]
    await daemon.command(session, RunCell(cell="fix"))
    await starting.wait()
    await daemon.command(session, Interrupt())
    go.set()
    state = await daemon.settled(session)
    assert ground.gated == []
    assert state.requests[request].state == "failed"
    assert state.executions[state.requests[request].execution or ""].status == "interrupted"


async def test_what_cannot_be_recorded_does_not_run_and_ends_the_session(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    await approved(daemon, session)
    files = FaultyFiles()
    live = daemon.session(session)
    live.journal._writer._file._files = files
    files.fail["write"] = [FULL]
    with pytest.raises(RecordUnwritable):
        await daemon.command(session, RunCell(cell="fix"))
    async with asyncio.timeout(5):
        while daemon.sessions.served:
            await asyncio.sleep(0.005)
    assert ground.ran == []
    assert ground.alive == [], "its kernel is ended"
    info = await daemon.sessions.info(session)
    assert info.problem == "its record cannot be extended any more"
    with pytest.raises(Exception, match="cannot be extended"):
        await daemon.command(session, AddNote(text="still there?"))


async def test_a_record_that_fails_with_nothing_left_to_sign_ends_the_session_too(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    live = daemon.session(session)
    await live.journal.checkpoint()
    files = FaultyFiles()
    live.journal._writer._file._files = files
    files.fail["write"] = [FULL]
    with pytest.raises(RecordUnwritable):
        await daemon.command(session, AddNote(text="lost"))
    async with asyncio.timeout(5):
        while daemon.sessions.served:
            await asyncio.sleep(0.005)
    assert ground.alive == []


async def test_what_would_be_redacted_cannot_be_asked_for(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground
) -> None:
    redactor = Redactor({"env": "hunter2-the-password"})
    made = Daemon(tmp_path, clock=clock, ground=ground, rules=policies(), redactor=redactor)
    async with running(made) as daemon:
        session = await daemon.open(notebook(LOOK, FIX))
        ground.values["target"] = '"hunter2-the-password"'
        with pytest.raises(CommandRefused, match=r"holds a secret \(env\)"):
            await daemon.command(session, RunCell(cell="fix"))
        assert daemon.state(session).requests == {}
        secret = {**FIX, "source": "connect('hunter2-the-password')"}
        session = await daemon.open(notebook(LOOK, secret), who="bob")
        ground.values["target"] = "40"
        with pytest.raises(CommandRefused, match="holds a secret"):
            await daemon.command(session, RunCell(cell="fix"), "bob")


async def test_a_session_that_was_opened_behind_walls_runs_nothing_without_them(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground
) -> None:
    made = Daemon(tmp_path, clock=clock, ground=ground, rules=policies())
    async with running(made) as daemon:
        session = await daemon.open(BOOK)
    bare = Ground(clock, level="none")
    made = Daemon(tmp_path, clock=clock, ground=bare, rules=policies())
    async with running(made) as daemon:
        for command in (RunCell(cell="look"), RunAdhoc(source="1 + 1")):
            await daemon.command(session, command)
            state = await daemon.settled(session)
            [*_, run] = state.executions.values()
            assert run.status != "ok"
            assert "no sandbox is in force" in run.error
        assert bare.ran == []


# ---- the end ---------------------------------------------------------------------------------


async def test_closing_takes_back_what_is_open_and_ends_the_kernel(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    request = await approved(daemon, session)
    await daemon.command(session, CloseSession(reason="over"))
    async with asyncio.timeout(5):
        while daemon.sessions.served:
            await asyncio.sleep(0.005)
    assert ground.alive == []
    types = daemon.types(session)
    assert types[-2:] == ["session.closed", "checkpoint"]
    assert "approval.revoked" in types
    info = await daemon.sessions.info(session)
    assert info.closed is not None
    assert info.waiting == ()
    with pytest.raises(InputError, match="no open request"):
        await daemon.console(request, "dana")
    with pytest.raises(InputError, match="is closed"):
        await daemon.command(session, AddNote(text="late"))


async def test_a_decision_that_comes_while_the_session_closes_adds_nothing_behind_the_end(
    daemon: Daemon,
) -> None:
    session = await daemon.open(BOOK)
    request = await ask(daemon, session)
    answers = await asyncio.gather(
        daemon.command(session, CloseSession()),
        daemon.slack(session, request, "dana"),
        daemon.console(request, "lee"),
        daemon.command(session, AddNote(text="late")),
        return_exceptions=True,
    )
    assert not isinstance(answers[0], BaseException)
    for answer in answers[1:]:
        assert isinstance(answer, CommandRefused), answer
        assert "closed" in str(answer)
    assert daemon.types(session)[-2:] == ["session.closed", "checkpoint"]


async def test_a_running_cell_keeps_a_session_open(daemon: Daemon, ground: Ground) -> None:
    session = await daemon.open(BOOK)
    ground.hold()
    await daemon.command(session, RunCell(cell="look"))
    with pytest.raises(CommandRefused, match="something is running"):
        await daemon.command(session, CloseSession())
    await daemon.command(session, Interrupt())
    await daemon.settled(session)
    await daemon.command(session, CloseSession())


# ---- crashes ---------------------------------------------------------------------------------


async def test_after_a_crash_what_ran_is_unknown_and_is_not_run_again(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground
) -> None:
    first = Daemon(tmp_path / "one", clock=clock, ground=ground, rules=policies())
    await first.start()
    session = await first.open(BOOK)
    request = await approved(first, session)
    ground.hold()
    await first.command(session, RunCell(cell="fix"))
    async with asyncio.timeout(5):
        while not ground.gated:
            await asyncio.sleep(0.005)
    await first.crashed(tmp_path / "two")
    fresh = Ground(clock)
    async with running(
        Daemon(tmp_path / "two", clock=clock, ground=fresh, rules=policies())
    ) as second:
        state = second.state(session)
        assert state.requests[request].state == "unknown"
        assert state.cells["fix"].mark == "unknown"
        [line] = [line for line in second.lines(session) if isinstance(line.event, Recovered)]
        assert line.event.data.executions == (state.requests[request].execution,)
        assert fresh.ran == []
        again = await second.command(session, RunCell(cell="fix"))
        assert again.execution is None
        assert again.request not in {None, request}
        await second.command(session, RevokeRequest(request=again.request))


async def test_after_a_crash_an_approval_that_was_not_used_still_counts(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground
) -> None:
    first = Daemon(tmp_path / "one", clock=clock, ground=ground, rules=policies())
    await first.start()
    session = await first.open(BOOK)
    request = await approved(first, session)
    await first.crashed(tmp_path / "two")
    async with running(
        Daemon(tmp_path / "two", clock=clock, ground=ground, rules=policies())
    ) as second:
        await second.command(session, RunCell(cell="fix"))
        state = await second.settled(session)
        assert state.requests[request].state == "done"
        assert [ran.source for ran in ground.gated] == ["resize(target)"]


async def test_an_orderly_end_leaves_sessions_open_and_kernels_ended(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground
) -> None:
    async with running(Daemon(tmp_path, clock=clock, ground=ground, rules=policies())) as first:
        session = await first.open(BOOK)
        ground.hold()
        await first.command(session, RunCell(cell="look"))
    assert ground.alive == []
    async with running(Daemon(tmp_path, clock=clock, ground=ground, rules=policies())) as second:
        state = second.state(session)
        assert not state.closed
        assert state.cells["look"].mark == "unknown"
        finished = [line for line in second.lines(session) if isinstance(line.event, CellFinished)]
        assert finished == [], "how it ended is not known, and nothing is made up"
