"""A headless walk: every step in order, gates stay gates, and it always cleans up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runbookd.api import AddNote, OpenSession
from runbookd.client.client import DaemonClient
from runbookd.client.walk import HEADLESS_SKIP, Walked, walk
from runbookd.events import Recorded
from runbookd.kernels.execution import Outcome
from tests.record.world import ManualClock
from tests.session.world import (
    AFTER,
    FIX,
    HANDS,
    LOOK,
    RESTART,
    Board,
    Daemon,
    Ground,
    notebook,
    policies,
)

UNDO = {"id": "undo", "source": "undo()", "runbookd": {"mode": "gated", "risk": "low"}}
WITH_UNDO = {**FIX, "runbookd": {**FIX["runbookd"], "rollback": "undo"}}
BOOK = notebook(LOOK, WITH_UNDO, HANDS, AFTER, UNDO)


async def opened(client: DaemonClient, daemon: Daemon, raw: bytes = BOOK) -> str:
    path = daemon.home / "runbooks" / "checkout.ipynb"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(raw)
    return (await client.open(OpenSession(runbook="checkout.ipynb"))).id


@asynccontextmanager
async def decider(
    daemon: Daemon, session: str, decision: str, who: str = "dana"
) -> AsyncIterator[None]:
    """Somebody who decides on every request as it comes."""
    journal = daemon.session(session).journal

    async def decide() -> None:
        seen: set[str] = set()
        while True:
            for request in set(journal.state.requests) - seen:
                seen.add(request)
                await daemon.console(request, who, decision, "because")
            await journal.changed()

    deciding = asyncio.create_task(decide())
    yield
    deciding.cancel()


async def walked(
    client: DaemonClient, daemon: Daemon, session: str, decision: str = "approve", **options: Any
) -> Walked:
    async with decider(daemon, session, decision):
        return await walk(client, session, **options)


async def test_a_walk_goes_through_all_steps_but_rollbacks_and_closes(
    client: DaemonClient, daemon: Daemon, ground: Ground
) -> None:
    session = await opened(client, daemon)
    shown: list[Recorded] = []
    done = await walked(client, daemon, session, on_line=shown.append)
    assert done == Walked(session, 0, "all steps are done")
    assert [ran.source for ran in ground.ran] == ["target = 40", "resize(target)", "after()"]
    lines = daemon.lines(session)
    assert [line.to_json() for line in shown] == [line.to_json() for line in lines]
    [skipped] = [line.event for line in lines if line.event.type == "cell.skipped"]
    assert (skipped.cell, skipped.data.reason) == ("hands", HEADLESS_SKIP)  # type: ignore[union-attr]
    assert daemon.types(session)[-2:] == ["session.closed", "checkpoint"]


async def test_a_denied_cell_ends_the_walk(
    client: DaemonClient, daemon: Daemon, ground: Ground
) -> None:
    session = await opened(client, daemon)
    done = await walked(client, daemon, session, "deny")
    assert done.exit_code == 3
    assert "was denied by dana" in done.said
    assert ground.gated == []
    assert daemon.types(session)[-2:] == ["session.closed", "checkpoint"]


async def test_a_self_approval_gets_nobody_through_the_gate(
    client: DaemonClient, daemon: Daemon, ground: Ground
) -> None:
    session = await opened(client, daemon)
    async with decider(daemon, session, "approve", "alice"):
        done = await walk(client, session, approval_timeout_s=0.2)
    assert (done.exit_code, ground.gated) == (3, [])
    assert "was not approved within" in done.said
    types = daemon.types(session)
    assert "approval.refused" in types
    assert types[-3:] == ["kernel.ended", "session.closed", "checkpoint"]
    assert "approval.revoked" in types


async def test_a_request_that_expires_ends_the_walk(
    client: DaemonClient, daemon: Daemon, ground: Ground, clock: ManualClock
) -> None:
    session = await opened(client, daemon)
    walking = asyncio.create_task(walk(client, session))
    await daemon.until(session, lambda state: state.requests)
    clock.forward(minutes=20)
    await daemon.command(session, AddNote(text="wakes the session"))
    done = await walking
    assert done.exit_code == 3
    assert "was expired" in done.said
    assert ground.gated == []


@pytest.mark.parametrize("rules", [policies(on_approval="run")])
async def test_a_walk_finds_what_its_policy_started_though_the_news_is_late(
    client: DaemonClient, daemon: Daemon, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = client.events

    async def slowly(*args: Any, **options: Any) -> AsyncIterator[Recorded]:
        async for line in events(*args, **options):
            if line.event.type == "approval.claimed":
                await asyncio.sleep(0.3)
            yield line

    monkeypatch.setattr(client, "events", slowly)
    session = await opened(client, daemon, notebook(RESTART))
    ground.hold()
    walking = asyncio.create_task(walked(client, daemon, session))
    async with asyncio.timeout(10):
        while not ground.gated:
            await asyncio.sleep(0.005)
    # Until the walk has asked for what runs already, and was refused.
    await asyncio.sleep(0.1)
    ground.release()
    assert (await walking).exit_code == 0
    assert len(ground.gated) == 1


@pytest.mark.parametrize("rules", [policies(on_approval="run")])
async def test_a_policy_that_runs_at_once_and_a_walk_do_not_get_in_each_others_way(
    client: DaemonClient, daemon: Daemon, ground: Ground
) -> None:
    session = await opened(client, daemon, notebook(LOOK, FIX, RESTART, AFTER))
    done = await walked(client, daemon, session)
    assert done == Walked(session, 0, "all steps are done")
    assert [ran.source for ran in ground.gated] == ["resize(target)", "restart()"]


@pytest.mark.parametrize("keep_going", [False, True])
async def test_a_failed_read_only_cell_ends_the_walk_unless_it_is_to_go_on(
    client: DaemonClient, daemon: Daemon, ground: Ground, keep_going: bool
) -> None:
    session = await opened(client, daemon, notebook(LOOK, HANDS))
    ground.outcome = Outcome("error", 1, "NameError: x")
    done = await walked(client, daemon, session, keep_going=keep_going)
    assert done.exit_code == 1
    assert ("cell.skipped" in daemon.types(session)) is keep_going
    assert "target = 40" in done.said


async def test_a_failed_gated_cell_always_ends_the_walk(
    client: DaemonClient, daemon: Daemon, ground: Ground
) -> None:
    session = await opened(client, daemon, notebook(RESTART, LOOK))
    ground.outcome = Outcome("timeout", 1, "it ran longer than 1 s")
    done = await walked(client, daemon, session, keep_going=True)
    assert done.exit_code == 1
    assert "ended with timeout" in done.said
    assert len(ground.ran) == 1


async def test_a_walk_that_is_broken_off_takes_back_what_it_asked_and_closes(
    client: DaemonClient, daemon: Daemon, ground: Ground
) -> None:
    session = await opened(client, daemon)
    walking = asyncio.create_task(walk(client, session))
    state = await daemon.until(session, lambda state: state.requests)
    walking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await walking
    types = daemon.types(session)
    assert types[-2:] == ["session.closed", "checkpoint"]
    assert "approval.revoked" in types
    assert state.id == session
    assert ground.gated == []


async def test_a_walk_that_is_broken_off_interrupts_what_runs(
    client: DaemonClient, daemon: Daemon, ground: Ground
) -> None:
    session = await opened(client, daemon)
    ground.hold()
    walking = asyncio.create_task(walk(client, session))
    await daemon.until(session, lambda state: state.running)
    while not ground.ran:
        await asyncio.sleep(0)
    walking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await walking
    assert ground.ran[0].kernel.interrupted
    assert daemon.types(session)[-2:] == ["session.closed", "checkpoint"]


async def test_a_reader_that_went_away_ends_the_walk(
    client: DaemonClient, daemon: Daemon, board: Board
) -> None:
    session = await opened(client, daemon)

    def gone(line: Recorded) -> None:
        if line.event.type == "cell.started":
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await walk(client, session, on_line=gone)
    assert board.posted == []
    types = daemon.types(session)
    assert types[-2:] == ["session.closed", "checkpoint"]
