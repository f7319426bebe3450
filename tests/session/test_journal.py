"""The record while it grows: who appends, who follows, and what a failure means to both."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runbookd.errors import CommandRefused, InputError, RecordUnwritable
from runbookd.events import (
    DAEMON,
    ClosedData,
    DriverChanged,
    DriverData,
    Recovered,
    RecoveredData,
    SessionClosed,
)
from runbookd.record.redaction import Redactor
from runbookd.record.writer import RecordWriter
from runbookd.session.journal import Journal
from runbookd.session.state import fold_all
from tests.record.world import ALICE, BROKEN, FULL, FaultyFiles, ManualClock, closed, note, opened
from tests.session.world import KEY


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


async def collect(journal: Journal, start: int = 0, *, live: bool = True) -> bytes:
    return b"".join([piece async for piece in journal.follow(start, live=live)])


def record(folder: Path, start: int = 0) -> bytes:
    lines = (folder / "record.jsonl").read_bytes().splitlines(keepends=True)
    return b"".join(lines[start:])


async def test_an_event_counts_once_it_is_on_the_disk(journal: Journal, tmp_path: Path) -> None:
    [line] = await journal.append(note("the pool is full"), actor=ALICE)
    assert b"the pool is full" in record(tmp_path)
    assert line.actor == ALICE
    assert journal.state.notes == 1
    assert journal.state.seq == 2


async def test_events_that_are_appended_together_stand_together(journal: Journal) -> None:
    pairs = [journal.append(note(f"{n} one"), note(f"{n} two"), actor=DAEMON) for n in range(20)]
    for lines in await asyncio.gather(*pairs):
        assert lines[1].seq == lines[0].seq + 1


async def test_an_event_that_cannot_be_written_leaves_the_record_as_it_was(
    journal: Journal, tmp_path: Path
) -> None:
    before = record(tmp_path)
    with pytest.raises(InputError):
        await journal.append(note("x" * 2_000_000))
    await journal.append(note("short"))
    assert record(tmp_path).startswith(before)
    assert journal.state.notes == 1
    assert not journal.failed


@pytest.mark.parametrize("start", [0, 1, 5, 11, 12, 99])
async def test_who_follows_gets_the_bytes_of_the_record_from_any_line(
    journal: Journal, tmp_path: Path, start: int
) -> None:
    for n in range(10):
        await journal.append(note(str(n)))
    assert await collect(journal, start, live=False) == record(tmp_path, start)
    assert await collect(journal, 0, live=False) == record(tmp_path)


async def test_pieces_end_at_the_end_of_a_line(journal: Journal) -> None:
    await journal.append(*(note("n" * 2000) for _ in range(1200)))
    pieces = [piece async for piece in journal.follow(live=False)]
    assert len(pieces) > 1, "a long record comes in several"
    assert all(piece.endswith(b"\n") for piece in pieces)


async def test_a_line_that_holds_other_peoples_line_ends_is_one_line(
    journal: Journal, tmp_path: Path
) -> None:
    odd = "one\r\ntwo\rthree\x0bfour\x0cfive\x85six\u2028seven\u2029eight"
    await journal.append(note(odd))
    await journal.append(note("after"))
    assert (await collect(journal, 2, live=False)).count(b"\n") == 1
    assert await collect(journal, live=False) == record(tmp_path)


async def test_many_who_follow_see_the_same_while_many_append(
    journal: Journal, tmp_path: Path
) -> None:
    followers = [asyncio.create_task(collect(journal, start)) for start in (0, 0, 3, 40, 75)]

    async def appender(name: int) -> None:
        for n in range(10):
            await journal.append(note(f"{name}/{n}"))

    late: list[asyncio.Task[bytes]] = []
    async with asyncio.TaskGroup() as tasks:
        for name in range(8):
            appending = tasks.create_task(appender(name))
            if name % 3 == 1:
                await asyncio.sleep(0)
                appending.cancel()
            late.append(asyncio.create_task(collect(journal, name)))
    journal.end()
    whole = record(tmp_path)
    assert whole.count(b"\n") == journal.state.seq > 50
    for start, follower in zip((0, 0, 3, 40, 75), followers, strict=True):
        assert await follower == record(tmp_path, start)
    for start, follower in enumerate(late):
        assert await follower == record(tmp_path, start)


async def test_the_lines_of_an_appender_who_left_are_told_all_the_same(
    journal: Journal, tmp_path: Path
) -> None:
    following = asyncio.create_task(collect(journal))
    appending = asyncio.create_task(journal.append(note("said")))
    await asyncio.sleep(0)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    assert b"said" in record(tmp_path)
    assert journal.state.notes == 1
    journal.end()
    assert await following == record(tmp_path)


async def test_who_follows_a_session_gets_all_of_it_with_the_checkpoint_behind_its_end(
    journal: Journal, tmp_path: Path
) -> None:
    following = asyncio.create_task(collect(journal))
    await asyncio.sleep(0)
    await journal.append(closed())
    await journal.checkpoint()
    journal.end()
    whole = await following
    assert whole == record(tmp_path)
    assert b'"checkpoint"' in whole.splitlines()[-1]


async def test_nothing_follows_the_closing_but_its_checkpoint(
    journal: Journal, tmp_path: Path
) -> None:
    closing = asyncio.create_task(journal.append(closed(), actor=ALICE))
    await asyncio.sleep(0)
    for late in (note("too late"), DriverChanged(data=DriverData(person="bob"))):
        with pytest.raises(CommandRefused, match="closed"):
            await journal.append(late, actor=ALICE)
    await closing
    with pytest.raises(CommandRefused, match="closed"):
        await journal.append(note("too late"), actor=ALICE)
    await journal.checkpoint()
    assert [b"session.closed" in line for line in record(tmp_path).splitlines()[-2:]] == [
        True,
        False,
    ]
    assert b"too late" not in record(tmp_path)


async def test_a_closing_that_cannot_be_written_closes_nothing(journal: Journal) -> None:
    with pytest.raises(InputError):
        await journal.append(SessionClosed(data=ClosedData(reason="x" * 2_000_000)))
    await journal.append(note("goes on"))
    await journal.append(closed())
    assert journal.state.closed


async def test_a_failed_record_ends_everybody_who_follows(
    journal: Journal, tmp_path: Path, files: FaultyFiles
) -> None:
    followers = [asyncio.create_task(collect(journal)) for _ in range(3)]
    await asyncio.sleep(0)
    files.fail["write"] = [FULL]
    with pytest.raises(RecordUnwritable):
        await journal.append(note("lost"))
    assert journal.failed
    async with asyncio.timeout(5):
        for follower in followers:
            assert await follower == record(tmp_path)
    assert journal.state.notes == 0
    assert await collect(journal) == record(tmp_path), "and those who come later"


async def test_a_record_that_fails_under_a_cancelled_appender_tells_everybody_too(
    journal: Journal, files: FaultyFiles
) -> None:
    following = asyncio.create_task(collect(journal))
    await asyncio.sleep(0)
    files.fail["fsync"] = [BROKEN]
    appending = asyncio.create_task(journal.append(note("lost")))
    await asyncio.sleep(0)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    assert journal.failed
    async with asyncio.timeout(5):
        await following


async def test_a_checkpoint_that_fails_tells_everybody(
    journal: Journal, files: FaultyFiles
) -> None:
    following = asyncio.create_task(collect(journal))
    await asyncio.sleep(0)
    files.fail["fsync"] = [BROKEN]
    with pytest.raises(RecordUnwritable):
        await journal.checkpoint()
    async with asyncio.timeout(5):
        await following


async def test_a_checkpoint_is_signed_for_news_and_not_for_itself(
    journal: Journal, tmp_path: Path
) -> None:
    assert journal.since_checkpoint == 1
    first = await journal.checkpoint()
    assert first == journal.state.checkpoint == (tmp_path / "checkpoint").read_text()
    assert journal.since_checkpoint == 0
    lines = journal.state.seq
    for _ in range(3):
        assert await journal.checkpoint() == first
    assert journal.state.seq == lines
    await journal.append(note("news"))
    assert await journal.checkpoint() != first
    assert journal.state.seq == lines + 2


async def test_whoever_waits_for_a_change_is_woken_by_it_or_by_the_time(journal: Journal) -> None:
    async with asyncio.timeout(5):
        await journal.changed(0.001)
        waiting = asyncio.create_task(journal.changed())
        await asyncio.sleep(0)
        assert not waiting.done()
        await journal.append(note("news"))
        await waiting
        waiting = asyncio.create_task(journal.changed())
        await asyncio.sleep(0)
        journal.end()
        await waiting


async def test_a_record_goes_on_where_it_stopped(journal: Journal, tmp_path: Path) -> None:
    await journal.append(note("before"), actor=ALICE)
    await journal._writer.close()
    writer, lines, torn = await RecordWriter.open(
        tmp_path, key=KEY, clock=ManualClock(), redactor=Redactor()
    )
    again = Journal(writer, tmp_path / "record.jsonl", fold_all(lines))
    await again.append(Recovered(data=RecoveredData(executions=(), torn_bytes=torn)))
    assert again.state.seq == 3
    assert await collect(again, 1, live=False) == record(tmp_path, 1)
    await writer.close()
