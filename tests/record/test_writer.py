"""The writer: what it returned is on the disk, in order, and stays so."""

import asyncio
import base64
import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.canonical import canonical
from runbookd.errors import InputError, RecordError, RecordUnwritable
from runbookd.events import DAEMON, Checkpointed, NoteAdded, Recovered, RecoveredData, RequestedData
from runbookd.events import ApprovalRequested as Asked
from runbookd.record.note import Verifier
from runbookd.record.reader import MAX_LINE, read
from runbookd.record.redaction import Redactor
from runbookd.record.tree import Tree, leaf_hash
from runbookd.record.writer import RecordWriter

from .world import ALICE, LOG, FaultyFiles, Forger, ManualClock, closed, note, opened, start


async def reopen(folder: Path, key: Ed25519PrivateKey, **more: object) -> tuple[RecordWriter, int]:
    writer, _, torn = await RecordWriter.open(
        folder,
        key=key,
        clock=ManualClock(),
        redactor=Redactor(),
        **more,  # type: ignore[arg-type]
    )
    return writer, torn


async def test_lines_are_canonical_chained_and_numbered(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    lines = await writer.append(note("one"), note("two"), actor=ALICE)
    raws = (tmp_path / "record.jsonl").read_bytes().splitlines()
    assert [line.seq for line in lines] == [1, 2]
    assert raws[1:] == [canonical(line.to_json()) for line in lines]
    values = [json.loads(raw) for raw in raws]
    assert [value["prev"] for value in values] == [
        "0" * 64,
        leaf_hash(raws[0]).hex(),
        leaf_hash(raws[1]).hex(),
    ]
    assert {value["log"] for value in values} == {LOG}
    assert values[1]["ts"] == "2026-11-24T02:07:31.000000Z"
    assert values[1]["actor"] == {"kind": "person", "id": "alice", "auth": "peercred"}
    tree = Tree()
    for raw in raws:
        tree.append(leaf_hash(raw))
    assert (writer.size, writer.root) == (3, tree.root().hex())
    await writer.close()


async def test_the_folder_is_laid_out_as_promised(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    folder = tmp_path / "sessions" / "s"
    writer = await start(folder, key)
    await writer.checkpoint()
    assert sorted(os.listdir(folder)) == [
        "checkpoint",
        "record.jsonl",
        "record.vkey",
        "reserve",
        "runbook.ipynb",
    ]
    assert (folder / "record.vkey").read_text() == f"{writer.vkey}\n"
    assert stat.S_IMODE((folder / "record.jsonl").stat().st_mode) == 0o600
    # Real blocks, not a hole.
    assert (folder / "reserve").stat().st_blocks * 512 >= 65_536
    await writer.close()


async def test_a_checkpoint_signs_every_line_before_it(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    await writer.append(note("one"), actor=ALICE)
    root = writer.root
    line = await writer.checkpoint()
    assert isinstance(line.event, Checkpointed)
    signed = line.event.data.note
    assert (line.seq, line.actor) == (2, DAEMON)
    assert signed == writer.last_checkpoint == (tmp_path / "checkpoint").read_text()
    found = Verifier.parse(writer.vkey).checkpoint(signed)
    assert (found.origin, found.size, found.root.hex()) == (LOG, 2, root)
    await writer.close()


async def test_appenders_at_once_share_one_fsync(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    files = FaultyFiles()
    writer = await start(tmp_path, key, files=files)
    files.calls.clear()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(writer.append(note(f"{n}a"), note(f"{n}b"), actor=ALICE))
            for n in range(50)
        ]
    # The first leads with whatever was there, all others share the second write at the latest.
    assert files.calls.count("fsync") <= 2
    assert files.calls.count("write") <= 2
    seqs = [[line.seq for line in task.result()] for task in tasks]
    assert all(second == first + 1 for first, second in seqs)
    assert sorted(seq for pair in seqs for seq in pair) == list(range(1, 101))
    texts = [
        line.event.data.text
        for _, line in read(tmp_path / "record.jsonl")
        if isinstance(line.event, NoteAdded)
    ]
    assert len(texts) == 100
    assert all(a[:-1] == b[:-1] for a, b in zip(texts[::2], texts[1::2], strict=True))
    await writer.close()


async def test_append_returns_only_after_the_fsync(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    files = FaultyFiles()
    writer = await start(tmp_path, key, files=files)
    files.calls.clear()
    await writer.append(note("one"), actor=ALICE)
    assert files.calls == ["write", "fsync"]
    await writer.close()


async def test_a_cancelled_append_is_recorded_all_the_same(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    leader = asyncio.create_task(writer.append(note("leader"), actor=ALICE))
    follower = asyncio.create_task(writer.append(note("follower"), actor=ALICE))
    await asyncio.sleep(0)
    leader.cancel()
    follower.cancel()
    results = await asyncio.gather(leader, follower, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
    assert writer.size == 3
    [after] = await writer.append(note("after"), actor=ALICE)
    assert after.seq == 3
    assert len(list(read(tmp_path / "record.jsonl"))) == 4
    await writer.close()


async def test_closing_finishes_what_is_being_written(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    tasks = [asyncio.create_task(writer.append(note(str(n)), actor=ALICE)) for n in range(5)]
    await asyncio.sleep(0)
    await writer.close()
    await writer.close()
    assert sum(len(lines) for lines in await asyncio.gather(*tasks)) == 5
    with pytest.raises(RecordUnwritable, match="not open"):
        await writer.append(note("late"), actor=ALICE)
    with pytest.raises(RecordUnwritable):
        await writer.checkpoint()
    assert not writer.failed


async def test_a_second_writer_is_refused(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    writer = await start(tmp_path, key)
    with pytest.raises(RecordUnwritable, match="already holds"):
        await start(tmp_path, key)
    with pytest.raises(RecordUnwritable, match="another process"):
        await reopen(tmp_path, key)
    await writer.close()
    again, torn = await reopen(tmp_path, key)
    assert (again.size, torn) == (1, 0)
    await again.close()


async def test_a_record_goes_on_after_a_restart(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    writer = await start(tmp_path, key)
    signed = (await writer.checkpoint()).event
    root = writer.root
    await writer.close()
    again, lines, torn = await RecordWriter.open(
        tmp_path, key=key, clock=ManualClock(), redactor=Redactor()
    )
    assert isinstance(signed, Checkpointed)
    assert (again.log, again.size, again.root, torn) == (LOG, 2, root, 0)
    assert again.last_checkpoint == signed.data.note
    assert lines[0].event == opened(again.vkey)
    [line] = await again.append(note("again"), actor=ALICE)
    assert line.seq == 2
    await again.close()


async def test_a_torn_last_line_is_set_aside_and_not_lost(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    await writer.close()
    whole = (tmp_path / "record.jsonl").read_bytes()
    for tail, name in ((b'{"actor":{"au', "torn-1"), (b"\0" * 4096, "torn-1.1")):
        with (tmp_path / "record.jsonl").open("ab") as file:
            file.write(tail)
        again, torn = await reopen(tmp_path, key)
        assert torn == len(tail)
        assert (tmp_path / name).read_bytes() == tail
        assert (tmp_path / "record.jsonl").read_bytes() == whole
        await again.close()
    again, torn = await reopen(tmp_path, key)
    await again.append(Recovered(data=RecoveredData(executions=(), torn_bytes=5)), actor=DAEMON)
    assert (torn, again.size) == (0, 2)
    await again.close()


async def test_a_torn_line_that_cannot_be_set_aside_stays(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    await writer.close()
    with (tmp_path / "record.jsonl").open("ab") as file:
        file.write(b"{torn")
    before = (tmp_path / "record.jsonl").read_bytes()
    files = FaultyFiles()
    files.fail["fsync"] = [5]
    with pytest.raises(RecordUnwritable, match="cannot be continued"):
        await reopen(tmp_path, key, files=files)
    assert (tmp_path / "record.jsonl").read_bytes() == before
    again, torn = await reopen(tmp_path, key)
    assert torn == 5
    await again.close()


async def test_a_damaged_record_is_not_continued(
    tmp_path: Path, key: Ed25519PrivateKey, other_key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path / "a", key)
    for text in ("one", "two"):
        await writer.append(note(text), actor=ALICE)
    await writer.checkpoint()
    await writer.close()
    forger = Forger(tmp_path / "a")
    good = forger.lines()

    forger.write([good[0], good[1].replace(b"one", b"0ne"), *good[2:]])
    with pytest.raises(RecordError, match="line 2: the line does not follow"):
        await reopen(tmp_path / "a", key)
    forger.write([good[0], *good[2:]])
    with pytest.raises(RecordError, match="line 1: the line's number"):
        await reopen(tmp_path / "a", key)
    forger.write([good[0], good[1].replace(b"{", b"{ ", 1), *good[2:]])
    with pytest.raises(RecordError, match="canonical"):
        await reopen(tmp_path / "a", key)
    forger.write(good)
    forger.edit(1, lambda value: value["data"].update(text="forged"))
    forger.reseal(None)
    with pytest.raises(RecordError, match="the checkpoint does not hold"):
        await reopen(tmp_path / "a", key)
    forger.write(good)
    with pytest.raises(RecordError, match="another key"):
        await reopen(tmp_path / "a", other_key)
    (tmp_path / "a" / "record.vkey").unlink()
    with pytest.raises(RecordError, match="no verifier key"):
        await reopen(tmp_path / "a", key)
    with pytest.raises(RecordError, match="holds no record"):
        await reopen(tmp_path / "nothing", key)


async def test_a_checkpoint_file_that_a_crash_left_behind_is_brought_up(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    await writer.checkpoint()
    first = (tmp_path / "checkpoint").read_text()
    await writer.checkpoint()
    await writer.close()
    (tmp_path / "checkpoint").write_text(first)
    again, _ = await reopen(tmp_path, key)
    assert (tmp_path / "checkpoint").read_text() == again.last_checkpoint != first
    await again.close()


async def test_an_event_that_cannot_be_written_does_no_harm(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    with pytest.raises(InputError, match="too long"):
        await writer.append(note("fine"), note("x" * MAX_LINE), actor=ALICE)
    data = RequestedData(
        document={"load": 1.5}, digest="0" * 64, rules=(), groups=(), quorum=1,
        expires_at="", requester="alice",
    )  # fmt: skip
    bad = [{"load": 1.5}, {"n": 2**53}, {"größe": 1}, {"x": object()}]
    for document in bad:
        with pytest.raises(InputError, match=r"approval\.requested"):
            await writer.append(
                Asked(data=data.model_copy(update={"document": document})), actor=ALICE
            )
    assert (writer.size, writer.failed) == (1, False)
    assert await writer.append(actor=ALICE) == []
    [line] = await writer.append(note("fine"), actor=ALICE)
    assert line.seq == 1
    await writer.close()
    assert len(list(read(tmp_path / "record.jsonl"))) == 2


async def test_the_longest_line_can_be_read_back(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    writer = await start(tmp_path, key)
    [short] = await writer.append(note(""), actor=ALICE)
    room = MAX_LINE - 1 - len(canonical(short.to_json()))
    with pytest.raises(InputError):
        await writer.append(note("x" * (room + 1)), actor=ALICE)
    await writer.append(note("x" * room), actor=ALICE)
    assert (tmp_path / "record.jsonl").read_bytes().splitlines(keepends=True)[-1][MAX_LINE:] == b""
    assert len(list(read(tmp_path / "record.jsonl"))) == 3
    await writer.close()


async def test_lone_surrogates_become_replacement_characters(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    event = NoteAdded(cell="c\ud800", data=note("a\udcffb 😀").data)
    [line] = await writer.append(event, actor=ALICE)
    assert isinstance(line.event, NoteAdded)
    assert (line.event.cell, line.event.data.text) == ("c\ufffd", "a\ufffdb 😀")
    assert [stored for _, stored in read(tmp_path / "record.jsonl")][1] == line
    await writer.close()


async def test_secrets_do_not_reach_the_file(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    redactor = Redactor({"keyring:checkout/admin": "hunter2-hunter2"})
    writer = await start(tmp_path, key, redactor=redactor)
    encoded = base64.b64encode(b"user:hunter2-hunter2").decode()
    [line] = await writer.append(note(f"it is hunter2-hunter2 or {encoded}"), actor=ALICE)
    assert line.redacted == ("keyring:checkout/admin",)
    redactor.add("env:LATER", "another-secret")
    [later] = await writer.append(note("another-secret"), actor=ALICE)
    assert later.redacted == ("env:LATER",)
    raw = (tmp_path / "record.jsonl").read_bytes()
    for secret in (b"hunter2", encoded.encode(), b"another-secret"):
        assert secret not in raw
    await writer.close()


async def test_a_machine_that_is_up_for_years_still_records(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    clock = ManualClock(mono=2**52 - 1)
    writer = await start(tmp_path, key, clock)
    clock.mono = 1000 * 24 * 3600 * 10**9
    [line] = await writer.append(note("still up"), actor=ALICE)
    first = next(read(tmp_path / "record.jsonl"))[1]
    assert (first.mono, first.boot) == (2**52 - 1, "boot-1")
    assert line.boot == "boot-1.19"
    assert line.mono + (19 << 52) == clock.mono
    await writer.close()


async def test_a_log_that_go_could_not_name_is_refused(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    with pytest.raises(InputError, match="cannot name"):
        await start(tmp_path / "s", key, log="my host/runbookd/x")
    assert not (tmp_path / "s" / "record.jsonl").exists()


async def test_a_closed_record_can_be_read_again(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    writer = await start(tmp_path, key)
    await writer.append(closed(), actor=ALICE)
    await writer.checkpoint()
    await writer.close()
    assert [line.event.type for _, line in read(tmp_path / "record.jsonl")] == [
        "session.opened",
        "session.closed",
        "checkpoint",
    ]


async def test_a_cancelled_start_or_opening_lets_go_of_the_record(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    clock, redactor = ManualClock(), Redactor()
    starting = asyncio.create_task(
        RecordWriter.create(tmp_path, log=LOG, key=key, clock=clock, redactor=redactor)
    )
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    opening = asyncio.create_task(
        RecordWriter.open(tmp_path, key=key, clock=clock, redactor=redactor)
    )
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    writer, torn = await reopen(tmp_path, key)
    assert (writer.size, torn) == (0, 0)
    await writer.close()


async def test_durable_lines_are_announced_in_order_even_when_nobody_waits_any_more(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    writer = await start(tmp_path, key)
    announced: list[int] = []
    writer.on_durable = lambda lines: announced.extend(line.seq for line in lines)
    cancelled = asyncio.create_task(writer.append(note("a"), note("b"), actor=ALICE))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await writer.checkpoint()
    assert announced == [1, 2, 3]
    await writer.close()
