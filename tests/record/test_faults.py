"""When the disk fails the record stops, and what it holds stays whole."""

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.errors import RecordUnwritable
from runbookd.record.reader import read
from runbookd.record.redaction import Redactor
from runbookd.record.verify import verify
from runbookd.record.writer import RecordWriter

from .world import ALICE, BROKEN, FULL, LOG, FaultyFiles, ManualClock, closed, note, start


async def failing(folder: Path, key: Ed25519PrivateKey) -> tuple[RecordWriter, FaultyFiles, bytes]:
    """A record of two lines, the files under it, and its bytes."""
    files = FaultyFiles()
    writer = await start(folder, key, files=files)
    await writer.append(note("one"), actor=ALICE)
    return writer, files, (folder / "record.jsonl").read_bytes()


async def stays_failed(writer: RecordWriter) -> None:
    assert writer.failed
    with pytest.raises(RecordUnwritable):
        await writer.append(note("later"), actor=ALICE)
    with pytest.raises(RecordUnwritable):
        await writer.checkpoint()


async def test_a_short_write_is_cut_off_again(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    writer, files, before = await failing(tmp_path, key)
    files.short = 100
    with pytest.raises(RecordUnwritable, match="only 100 of"):
        await writer.append(note("two"), actor=ALICE)
    assert (tmp_path / "record.jsonl").read_bytes() == before
    assert writer.size == 2
    await stays_failed(writer)
    await writer.close()


@pytest.mark.parametrize(("call", "code"), [("write", FULL), ("write", BROKEN), ("fsync", BROKEN)])
async def test_a_failed_write_or_fsync_is_final(
    tmp_path: Path, key: Ed25519PrivateKey, call: str, code: int
) -> None:
    writer, files, before = await failing(tmp_path, key)
    root = writer.root
    files.fail[call] = [code]
    with pytest.raises(RecordUnwritable):
        await writer.append(note("two"), actor=ALICE)
    assert (tmp_path / "record.jsonl").read_bytes() == before
    assert (writer.size, writer.root) == (2, root)
    await stays_failed(writer)
    await writer.close()


async def test_everyone_who_waits_is_told(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    writer, files, before = await failing(tmp_path, key)
    files.fail["fsync"] = [BROKEN]
    results = await asyncio.gather(
        *(writer.append(note(str(n)), actor=ALICE) for n in range(20)), return_exceptions=True
    )
    assert all(isinstance(result, RecordUnwritable) for result in results)
    assert len({id(result) for result in results}) == 20
    assert (tmp_path / "record.jsonl").read_bytes() == before
    await writer.close()


async def test_a_tail_that_cannot_be_cut_off_is_set_aside_later(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer, files, before = await failing(tmp_path, key)
    files.short, files.fail["truncate"] = 50, [BROKEN]
    with pytest.raises(RecordUnwritable, match="could not be cut off"):
        await writer.append(note("two"), actor=ALICE)
    with pytest.raises(RecordUnwritable):
        await writer.last_words(closed(), actor=ALICE)
    await writer.close()
    again, lines, torn = await RecordWriter.open(
        tmp_path, key=key, clock=ManualClock(), redactor=Redactor()
    )
    assert (len(lines), torn) == (2, 50)
    assert (tmp_path / "record.jsonl").read_bytes() == before
    await again.close()


async def test_a_cancelled_append_that_fails_is_still_cancelled(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer, files, _ = await failing(tmp_path, key)
    files.fail["write"] = [BROKEN]
    task = asyncio.create_task(writer.append(note("two"), actor=ALICE))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stays_failed(writer)
    await writer.close()


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
async def test_a_checkpoint_file_that_cannot_be_replaced_is_final(
    tmp_path: Path, key: Ed25519PrivateKey, call: str
) -> None:
    writer, files, _ = await failing(tmp_path, key)
    await writer.checkpoint()
    old = (tmp_path / "checkpoint").read_bytes()
    files.fail[call] = [BROKEN] if call == "rename" else [0, BROKEN]
    with pytest.raises(RecordUnwritable, match="checkpoint"):
        await writer.checkpoint()
    assert (tmp_path / "checkpoint").read_bytes() == old
    # The line itself is there: state and file agree.
    assert writer.size == len(list(read(tmp_path / "record.jsonl"))) == 4
    await stays_failed(writer)
    await writer.close()
    assert verify(tmp_path).ok


async def test_a_full_disk_leaves_room_for_last_words(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer, files, _ = await failing(tmp_path, key)
    files.short = 10
    with pytest.raises(RecordUnwritable):
        await writer.append(note("two"), actor=ALICE)
    lines = await writer.last_words(closed(), actor=ALICE)
    assert [line.event.type for line in lines] == ["session.closed", "checkpoint"]
    assert not (tmp_path / "reserve").exists()
    await stays_failed(writer)
    with pytest.raises(RecordUnwritable):
        await writer.last_words(note("more"), actor=ALICE)
    await writer.close()
    report = verify(tmp_path)
    assert report.ok, report.lines()
    assert (report.size, report.closed) == (4, True)


async def test_last_words_are_for_full_disks_only(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    writer, files, _ = await failing(tmp_path, key)
    with pytest.raises(RecordUnwritable):
        await writer.last_words(closed(), actor=ALICE)
    files.fail["fsync"] = [BROKEN]
    with pytest.raises(RecordUnwritable):
        await writer.append(note("two"), actor=ALICE)
    with pytest.raises(RecordUnwritable):
        await writer.last_words(closed(), actor=ALICE)
    await writer.close()


async def test_last_words_that_do_not_fit_either_change_nothing(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer, files, before = await failing(tmp_path, key)
    files.fail["write"] = [FULL, FULL]
    with pytest.raises(RecordUnwritable):
        await writer.append(note("two"), actor=ALICE)
    with pytest.raises(RecordUnwritable):
        await writer.last_words(closed(), actor=ALICE)
    with pytest.raises(RecordUnwritable):
        await writer.last_words(closed(), actor=ALICE)
    assert (tmp_path / "record.jsonl").read_bytes() == before
    await writer.close()


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
async def test_a_record_that_cannot_be_started_leaves_nothing(
    tmp_path: Path, key: Ed25519PrivateKey, call: str
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for number in range(12):
        files = FaultyFiles()
        files.fail[call] = [0] * number + [FULL]
        try:
            writer = await RecordWriter.create(
                folder, log=LOG, key=key, clock=ManualClock(), redactor=Redactor(), files=files
            )
        except RecordUnwritable:
            assert list(folder.iterdir()) == []
        else:
            assert number > 0
            await writer.close()
            return
    pytest.fail("every number of calls failed")


async def test_an_unexpected_error_in_the_thread_is_a_failure_too(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer, files, _ = await failing(tmp_path, key)

    def broken(_fd: int, _data: bytes) -> int:
        raise MemoryError

    files.write = broken  # type: ignore[method-assign]
    with pytest.raises(RecordUnwritable, match="MemoryError"):
        await writer.append(note("two"), actor=ALICE)
    await stays_failed(writer)
    await writer.close()
