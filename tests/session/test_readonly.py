"""The read-only lane: one kernel, kept, started again when it died, and none left behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runbookd.errors import KernelUnavailable
from runbookd.record.redaction import Redactor
from runbookd.record.writer import RecordWriter
from runbookd.session.journal import Journal
from runbookd.session.readonly import ReadOnlyLane
from tests.record.world import ALICE, FULL, FaultyFiles, ManualClock, closed, opened
from tests.session.world import KEY, Ground, LogKernel


@pytest.fixture
def files() -> FaultyFiles:
    return FaultyFiles()


@pytest.fixture
async def journal(tmp_path: Path, files: FaultyFiles) -> AsyncIterator[Journal]:
    writer = await RecordWriter.create(
        tmp_path,
        log="host/runbookd/s-1",
        key=KEY,
        clock=ManualClock(),
        redactor=Redactor(),
        files=files,
    )
    made = Journal(writer, tmp_path / "record.jsonl")
    await made.append(opened(writer.vkey), actor=ALICE)
    yield made
    await writer.close()


class Starter:
    """Starts kernels when it is let."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> Any:
        self.asked.set()
        await self.go.wait()
        return self.ground.kernel("read-only")


@pytest.fixture
def start(ground: Ground) -> Starter:
    return Starter(ground)


def types(folder: Path) -> list[str]:
    return [json.loads(line)["type"] for line in (folder / "record.jsonl").read_text().splitlines()]


async def test_one_kernel_is_kept(journal: Journal, start: Starter, ground: Ground) -> None:
    lane = ReadOnlyLane(journal, start)
    async with asyncio.TaskGroup() as tasks:
        several = await asyncio.gather(*(lane.kernel(tasks) for _ in range(5)))
        assert len(set(several)) == len(ground.kernels) == 1
        await lane.end()
    assert [kernel.ended for kernel in ground.kernels] == [True]
    assert journal.state.kernel is None


async def test_a_kernel_that_died_is_recorded_and_started_again(
    journal: Journal, start: Starter, ground: Ground, tmp_path: Path
) -> None:
    lane = ReadOnlyLane(journal, start)
    async with asyncio.TaskGroup() as tasks:
        first: Any = await lane.kernel(tasks)
        assert isinstance(first, LogKernel)
        first.die("out of memory")
        while journal.state.kernel is not None:
            await journal.changed()
        assert first.ended, "what it started is cleared away"
        second = await lane.kernel(tasks)
        assert second is not first
        assert journal.state.kernel == second.id
        assert journal.state.kernels_lost == 1
        await lane.end()
    assert types(tmp_path)[-4:] == [
        "kernel.started",
        "kernel.died",
        "kernel.started",
        "kernel.ended",
    ]


async def test_a_kernel_whose_start_cannot_be_recorded_is_ended(
    journal: Journal, start: Starter, ground: Ground, files: FaultyFiles
) -> None:
    lane = ReadOnlyLane(journal, start)
    files.fail["write"] = [FULL]
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            await lane.kernel(tasks)
    assert [kernel.ended for kernel in ground.kernels] == [True]
    await lane.end()


async def test_warming_up_tells_of_a_failure_only_when_a_cell_needs_the_kernel(
    journal: Journal,
) -> None:
    async def unavailable() -> Any:
        raise KernelUnavailable("no such kernelspec")

    lane = ReadOnlyLane(journal, unavailable)
    async with asyncio.TaskGroup() as tasks:
        await lane.warm_up(tasks)
        with pytest.raises(KernelUnavailable, match="no such kernelspec"):
            await lane.kernel(tasks)


async def test_a_kernel_that_starts_while_the_session_closes_does_not_stay(
    journal: Journal, start: Starter, ground: Ground, tmp_path: Path
) -> None:
    lane = ReadOnlyLane(journal, start)
    start.go.clear()
    async with asyncio.TaskGroup() as tasks:
        warming = tasks.create_task(lane.warm_up(tasks))
        await start.asked.wait()
        await lane.end()
        await journal.append(closed(), actor=ALICE)
        start.go.set()
        await warming
        await lane.end()
    assert [kernel.ended for kernel in ground.kernels] == [True]
    assert types(tmp_path)[-1] == "session.closed"


async def test_a_lane_that_was_ended_starts_nothing_more(
    journal: Journal, start: Starter, ground: Ground
) -> None:
    lane = ReadOnlyLane(journal, start)
    await lane.end()
    async with asyncio.TaskGroup() as tasks:
        with pytest.raises(KernelUnavailable, match="ending"):
            await lane.kernel(tasks)
    assert ground.alive == []
