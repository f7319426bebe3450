"""The daemon dies at bad moments: what was running is unknown, and nothing runs by itself."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from runbookd.api import AddNote, CloseSession, RunAdhoc, RunCell
from runbookd.client.client import DaemonClient
from runbookd.client.follow import following
from runbookd.drill.run import DECIDER, Drill
from runbookd.errors import CommandRefused
from runbookd.record.verify import verify
from runbookd.session.state import SessionState

from .conftest import PrepareDrill, kill_daemon, notebook, pressed

SLOW = notebook(
    {"id": "look", "source": "print('looked')\nx = 7"},
    {
        "id": "fix",
        "source": "import time\nprint('fixing', flush=True)\ntime.sleep(60)",
        "runbookd": {"mode": "gated", "risk": "medium", "inputs": ["x"], "timeout": 90},
    },
)


def posted_ts(state: SessionState) -> str | None:
    for asked in state.requests.values():
        if "slack" in asked.posted:
            return asked.posted["slack"]["ts"]
    return None


def stored(drill: Drill, session: str) -> list[dict[str, Any]]:
    path = drill.settings.sessions / session / "record.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


async def ask(drill: Drill, client: DaemonClient) -> tuple[str, str]:
    """Open a session, walk to the gate and ask; the session and the message's timestamp."""
    info = await client.open(drill.wanted())
    async with following(client, info.id) as follower:
        await client.command(info.id, RunCell(cell="look"))
        await follower.until(lambda state: state.cells["look"].mark == "done", 30)
        await client.command(info.id, RunCell(cell="fix"))
        assert await follower.until(lambda state: posted_ts(state) is not None, 20)
        ts = posted_ts(follower.state)
    assert ts is not None
    return info.id, ts


async def state_of(client: DaemonClient, session: str) -> SessionState:
    async with following(client, session) as follower:
        return follower.state


@pytest.mark.parametrize("moment", ["approved", "executing"])
async def test_a_daemon_killed_between_approval_and_end_leaves_the_outcome_unknown_or_unused(
    drills: PrepareDrill, moment: str
) -> None:
    async with drills(SLOW) as drill:
        async with DaemonClient(drill.settings) as client:
            session, ts = await ask(drill, client)
            await pressed(drill, DECIDER, ts)
            async with following(client, session) as follower:
                await follower.until(lambda state: state.cells["fix"].mark == "approved", 10)
                if moment == "executing":
                    await client.command(session, RunCell(cell="fix"))
                    fixing = lambda state: any(  # noqa: E731
                        run.lane == "gated" and run.output_events
                        for run in state.executions.values()
                    )
                    assert await follower.until(fixing, 20)
            kill_daemon(drill)
        before = stored(drill, session)

        async with DaemonClient(drill.settings) as client:
            async with following(client, session) as follower:
                wanted = "unknown" if moment == "executing" else "approved"
                assert await follower.until(lambda state: state.cells["fix"].mark == wanted, 20), (
                    follower.state.cells["fix"].mark
                )
                # A later command shows that the daemon is through with its recovery.
                await client.command(session, AddNote(text="back again"))
                await follower.until(lambda state: state.notes == 1)
                [asked] = follower.state.requests.values()
                assert asked.state == wanted
                after = stored(drill, session)
                assert after[: len(before)] == before
                new = [line["type"] for line in after[len(before) :]]
                assert not {"cell.started", "approval.claimed", "adhoc.started"} & set(new), new
                if moment == "executing":
                    assert "recovered" in new
                    # Running it again takes a new approval; the variables went with the kernel.
                    await client.command(session, RunCell(cell="look"))
                    assert await follower.until(lambda state: state.cells["look"].runs == 2, 20)
                    await follower.until(lambda state: state.running is None, 20)
                    accepted = await client.command(session, RunCell(cell="fix"))
                    assert accepted.request is not None
                    assert accepted.execution is None
            await client.command(session, CloseSession())
        report = verify(drill.settings.sessions / session)
        assert report.ok, report.lines()


async def test_a_click_while_no_terminal_is_attached_is_there_when_one_comes_back(
    drills: PrepareDrill,
) -> None:
    async with drills(SLOW) as drill:
        async with DaemonClient(drill.settings) as client:
            session, ts = await ask(drill, client)
        # Nobody is connected now.
        reply = await pressed(drill, DECIDER, ts)
        assert reply["ok"], "the daemon acknowledged the click"
        async with DaemonClient(drill.settings, start=False) as client:
            state = await state_of(client, session)
            assert state.cells["fix"].mark == "approved"
            assert state.cells["look"].mark == "done"
            [asked] = state.requests.values()
            assert asked.approved_by == ("dana",)
            await client.command(session, CloseSession())


async def test_an_approval_is_used_at_most_once_however_often_one_runs_it(
    drills: PrepareDrill,
) -> None:
    quick = notebook(
        {
            "id": "fix",
            "source": "print('fixed')",
            "runbookd": {"mode": "gated", "risk": "medium"},
        }
    )
    async with drills(quick) as drill, DaemonClient(drill.settings) as client:
        info = await client.open(drill.wanted())
        async with following(client, info.id) as follower:
            await client.command(info.id, RunCell(cell="fix"))
            await follower.until(lambda state: posted_ts(state) is not None, 20)
            ts = posted_ts(follower.state)
            assert ts is not None
            await pressed(drill, DECIDER, ts)
            await follower.until(lambda state: state.cells["fix"].mark == "approved", 10)
            answers = await asyncio.gather(
                *(client.command(info.id, RunCell(cell="fix")) for _ in range(8)),
                return_exceptions=True,
            )
            won = [answer for answer in answers if not isinstance(answer, BaseException)]
            lost = [answer for answer in answers if isinstance(answer, BaseException)]
            assert len(won) == 1
            assert all(isinstance(answer, CommandRefused) for answer in lost)
            await follower.until(lambda state: state.cells["fix"].mark == "done", 30)
        kinds = [line["type"] for line in stored(drill, info.id)]
        assert kinds.count("approval.claimed") == 1


async def test_a_frozen_notebook_that_was_changed_on_disk_is_not_taken_up(
    drills: PrepareDrill,
) -> None:
    async with drills(SLOW) as drill:
        async with DaemonClient(drill.settings) as client:
            session, ts = await ask(drill, client)
            await pressed(drill, DECIDER, ts)
            async with following(client, session) as follower:
                await follower.until(lambda state: state.cells["fix"].mark == "approved", 10)
            kill_daemon(drill)
        frozen: Path = drill.settings.sessions / session / "runbook.ipynb"
        frozen.write_text(frozen.read_text().replace("fixing", "breaking"))
        async with DaemonClient(drill.settings) as client:
            [info] = await client.sessions()
            assert "frozen notebook" in info.problem
            with pytest.raises(Exception, match="frozen notebook"):
                await client.command(session, RunAdhoc(source="1"))
            report = verify(drill.settings.sessions / session)
            assert not report.ok
