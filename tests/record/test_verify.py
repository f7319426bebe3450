"""Every way to tamper with a record has a name in the report."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.canonical import canonical
from runbookd.record.note import Checkpoint, Signer
from runbookd.record.reader import Defect
from runbookd.record.report import Report
from runbookd.record.verify import verify, verify_all

from .world import ALICE, LOG, Forger, copy_of, note, opened, start, whole_session


def faults(report: Report) -> set[tuple[int | None, str]]:
    return {(found.seq, found.kind) for found in report.findings if found.severity == "fault"}


def kinds(report: Report) -> set[str]:
    return {found.kind for found in report.findings if found.severity == "fault"}


def unproved(report: Report) -> set[str]:
    return {found.kind for found in report.findings if found.severity == "unproved"}


@pytest.fixture
async def folder(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    """A closed session of 16 lines; see :func:`world.whole_session`."""
    await whole_session(tmp_path / "session", key)
    return tmp_path / "session"


@pytest.fixture
def forger(folder: Path) -> Forger:
    return Forger(folder)


async def open_session(folder: Path, key: Ed25519PrivateKey, lines: int = 3) -> None:
    writer = await start(folder, key)
    await writer.checkpoint()
    for n in range(lines):
        await writer.append(note(str(n)), actor=ALICE)
    await writer.close()


# ---- sound records --------------------------------------------------------------------------


def test_a_sound_record_verifies(folder: Path) -> None:
    report = verify(folder)
    assert report.ok
    assert faults(report) == set()
    assert (report.size, report.closed, report.checkpoints, report.signed) == (16, True, 4, 15)
    assert report.log == LOG
    assert {found.kind for found in report.findings} == {"not-anchored"}
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_a_copy_verifies_the_same(folder: Path, tmp_path: Path) -> None:
    copied = verify(copy_of(folder, tmp_path / "copy"))
    assert copied.model_copy(update={"folder": str(folder)}) == verify(folder)


def test_the_report_reads_as_sentences(folder: Path, forger: Forger) -> None:
    lines = verify(folder).lines()
    assert lines[0] == f"{LOG}: verifies"
    assert "integrity: no fault found" in lines
    assert any(line.startswith("  not proved: no checkpoint from outside") for line in lines)
    forger.edit(1, lambda value: value["data"].update(text="forged"))
    lines = verify(folder).lines()
    assert lines[0] == f"{LOG}: DOES NOT VERIFY"
    assert any(line.startswith("  FAULT: line 2: the line does not follow") for line in lines)


async def test_an_open_session_says_what_is_not_signed_yet(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    await open_session(tmp_path / "s", key)
    report = verify(tmp_path / "s")
    assert report.ok
    assert (report.closed, report.signed, report.size) == (False, 1, 5)
    assert unproved(report) == {"after-checkpoint", "not-anchored"}
    assert "not-closed" in {found.kind for found in report.findings}
    [found] = [found for found in report.findings if found.kind == "after-checkpoint"]
    assert found.text.startswith("3 lines follow")


async def test_outside_checkpoints_anchor_it(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    notes = await whole_session(tmp_path, key)
    report = verify(tmp_path, checkpoints=notes)
    assert report.ok
    assert report.anchored == 15
    assert [anchor.agrees for anchor in report.anchors] == [True] * 4
    assert "not-anchored" not in unproved(report)
    early = verify(tmp_path, checkpoints=notes[:2])
    assert early.anchored == 7
    [found] = [found for found in early.findings if found.kind == "not-anchored"]
    assert found.text.startswith("lines from 8 on")


# ---- lines changed by someone without the key ------------------------------------------------


@pytest.mark.parametrize("number", range(16))
def test_a_flipped_bit_in_any_line_shows(folder: Path, forger: Forger, number: int) -> None:
    lines = forger.lines()
    place = lines[number].index(b'"ts":"2026') + 9
    lines[number] = lines[number][:place] + b"1" + lines[number][place + 1 :]
    forger.write(lines)
    report = verify(folder)
    expected = (number + 1, "wrong-prev") if number < 15 else None
    # Nothing follows the very last line: it is the checkpoint, whose text is signed. Its time is
    # only as good as the next line or an outside copy.
    assert expected is None or expected in faults(report)
    assert report.ok is (number == 15)


@pytest.mark.parametrize("number", range(16))
def test_a_deleted_line_shows(folder: Path, forger: Forger, number: int) -> None:
    lines = forger.lines()
    del lines[number]
    forger.write(lines)
    report = verify(folder)
    assert not report.ok
    if number < 15:
        assert {(number, "wrong-seq"), (number, "wrong-prev")} <= faults(report)
        # One deletion is one finding, though it moves every line behind it.
        assert [found.seq for found in report.findings if found.kind == "wrong-seq"] == [number]
    else:
        assert "truncated" in kinds(report)


@pytest.mark.parametrize("number", range(1, 16))
def test_a_duplicated_line_shows(folder: Path, forger: Forger, number: int) -> None:
    lines = forger.lines()
    lines.insert(number, lines[number])
    forger.write(lines)
    assert (number + 1, "wrong-seq") in faults(verify(folder))


@pytest.mark.parametrize("number", range(15))
def test_reordered_lines_show(folder: Path, forger: Forger, number: int) -> None:
    lines = forger.lines()
    lines[number], lines[number + 1] = lines[number + 1], lines[number]
    forger.write(lines)
    assert {(number, "wrong-seq"), (number, "wrong-prev")} <= faults(verify(folder))


def test_an_inserted_line_shows(folder: Path, forger: Forger) -> None:
    lines = forger.lines()
    value = json.loads(lines[1])
    value["seq"], value["data"] = 3, {"text": "made up"}
    lines.insert(3, canonical(value) + b"\n")
    forger.write(lines)
    assert {(3, "wrong-prev"), (4, "wrong-seq"), (4, "wrong-prev")} <= faults(verify(folder))


def test_a_chain_that_was_mended_fails_at_the_next_checkpoint(folder: Path, forger: Forger) -> None:
    forger.edit(1, lambda value: value["data"].update(text="made up"))
    forger.reseal(None)
    report = verify(folder)
    assert {(n, "checkpoint-mismatch") for n in (2, 7, 9, 15)} <= faults(report)
    assert report.checkpoints == 0


async def test_a_line_of_another_log_shows(
    folder: Path, forger: Forger, tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    await whole_session(tmp_path / "other", key, log="bastion/runbookd/other")
    lines = forger.lines()
    lines[1] = Forger(tmp_path / "other").lines()[1]
    forger.write(lines)
    assert (1, "wrong-log") in faults(verify(folder))
    # The whole record of another session in this folder is that session's, and says so.
    forger.write(Forger(tmp_path / "other").lines())
    assert {(0, "wrong-log"), (2, "checkpoint-unsigned")} <= faults(verify(folder))


async def test_a_checkpoint_spliced_in_from_another_log_shows(
    folder: Path, forger: Forger, tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    other = await whole_session(tmp_path / "other", key, log="bastion/runbookd/other")
    forger.edit(15, lambda value: value["data"].update(note=other[-1]))
    assert (15, "checkpoint-unsigned") in faults(verify(folder))


DEFECTS: dict[Defect, Callable[[bytes], bytes]] = {
    "too-long": lambda line: b"x" * 2_000_000 + line,
    "blank": lambda _: b"\n",
    "bom": lambda line: b"\xef\xbb\xbf" + line,
    "crlf": lambda line: line.replace(b"\n", b"\r\n"),
    "nul": lambda line: line.replace(b"pool", b"po\0l"),
    "not-utf8": lambda line: line.replace(b"pool", b"po\xffl"),
    "not-json": lambda line: line.replace(b"{", b"", 1),
    "duplicate-key": lambda line: line.replace(b'"text":', b'"text":"x","text":'),
    "float": lambda line: line.replace(b'"seq":1', b'"seq":1.0'),
    "not-canonical": lambda line: line.replace(b":", b": ", 1),
    "not-an-event": lambda line: line.replace(b"note.added", b"note.other"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_line_that_no_writer_writes_is_named(
    folder: Path, forger: Forger, defect: Defect
) -> None:
    lines = forger.lines()
    lines[1] = DEFECTS[defect](lines[1])
    forger.write(lines)
    assert {(1, defect), (2, "wrong-prev")} <= faults(verify(folder))


def test_every_defect_has_its_tampering() -> None:
    assert set(DEFECTS) | {"unterminated"} == set(get_args(Defect))


async def test_an_unterminated_last_line_is_a_crash_only_while_the_session_is_open(
    folder: Path, forger: Forger, tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    forger.path.write_bytes(forger.path.read_bytes()[:-1])
    assert {(15, "unterminated"), (None, "truncated")} <= faults(verify(folder))
    await open_session(tmp_path / "open", key)
    path = tmp_path / "open" / "record.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    report = verify(tmp_path / "open")
    assert report.ok
    assert "unterminated" in unproved(report)
    assert report.size == 4


# ---- tails and checkpoints -------------------------------------------------------------------


def test_a_tail_cut_before_the_checkpoint_file_shows(folder: Path, forger: Forger) -> None:
    forger.write(forger.lines()[:12])
    assert (None, "truncated") in faults(verify(folder))


def test_a_tail_cut_with_its_checkpoints_shows_only_against_an_outside_one(
    folder: Path, forger: Forger
) -> None:
    last = (folder / "checkpoint").read_text()
    lines = forger.lines()
    forger.write(lines[:12])
    (folder / "checkpoint").write_text(json.loads(lines[9])["data"]["note"])
    report = verify(folder)
    assert report.ok
    assert not report.closed
    assert {"after-checkpoint", "not-anchored"} <= unproved(report)
    assert (None, "truncated") in faults(verify(folder, checkpoints=[last]))


async def test_a_tail_cut_after_the_checkpoint_cannot_be_seen_and_that_is_said(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    await open_session(tmp_path, key)
    Forger(tmp_path).write(Forger(tmp_path).lines()[:3])
    report = verify(tmp_path)
    assert report.ok
    [found] = [found for found in report.findings if found.kind == "after-checkpoint"]
    assert "nobody can tell" in found.text


def test_a_checkpoint_line_cut_off_shows(folder: Path, forger: Forger) -> None:
    forger.write(forger.lines()[:15])
    assert (None, "truncated") in faults(verify(folder))
    (folder / "checkpoint").unlink()
    # Without the file: a closing that nobody signed.
    assert "after-checkpoint" in kinds(verify(folder))


def test_a_made_up_ending_shows(folder: Path, forger: Forger) -> None:
    lines = forger.lines()
    ending = json.loads(lines[14])
    (folder / "checkpoint").write_text(json.loads(lines[9])["data"]["note"])
    forger.write([*lines[:10], canonical(ending) + b"\n"])
    forger.reseal(None)
    assert "after-checkpoint" in kinds(verify(folder))


def test_a_checkpoint_file_rolled_back_shows(folder: Path, forger: Forger) -> None:
    lines = forger.lines()
    for number, kind in ((7, "fault"), (9, "unproved")):
        (folder / "checkpoint").write_text(json.loads(lines[number])["data"]["note"])
        report = verify(folder)
        [found] = [found for found in report.findings if found.kind == "checkpoint-behind"]
        # One behind is what a crash between line and file leaves; two is not.
        assert found.severity == kind
    (folder / "checkpoint").unlink()
    [found] = [found for found in verify(folder).findings if found.kind == "checkpoint-behind"]
    assert (found.severity, found.text) == ("fault", "the checkpoint file is missing, by 4")


def test_two_notes_for_one_size_show(folder: Path, key: Ed25519PrivateKey) -> None:
    forged = Signer(key, LOG).checkpoint(15, bytes(32))
    report = verify(folder, checkpoints=[forged])
    assert {(15, "two-notes"), (None, "anchor-mismatch")} <= faults(report)
    assert [anchor.agrees for anchor in report.anchors] == [False]
    (folder / "checkpoint").write_text(forged)
    assert {(15, "two-notes"), (None, "checkpoint-mismatch")} <= faults(verify(folder))
    (folder / "checkpoint").unlink()
    two = [Signer(key, LOG).checkpoint(99, bytes([n]) * 32) for n in range(2)]
    assert {"two-notes", "truncated"} <= kinds(verify(folder, checkpoints=two))


def test_a_signed_checkpoint_that_was_never_recorded_shows(
    folder: Path, key: Ed25519PrivateKey
) -> None:
    from runbookd.record.chain import Chain

    chain = Chain.empty(LOG)
    for line in Forger(folder).lines()[:5]:
        chain.add(line[:-1])
    signed = Signer(key, LOG).checkpoint(5, chain.tree.root())
    assert (5, "checkpoint-unrecorded") in faults(verify(folder, checkpoints=[signed]))


def test_a_bad_signature_by_the_known_key_beside_a_good_one_by_another_shows(
    folder: Path, forger: Forger, key: Ed25519PrivateKey, other_key: Ed25519PrivateKey
) -> None:
    good = json.loads(forger.lines()[15])["data"]["note"]
    bad = Signer(key, LOG).checkpoint(1, bytes(32)).splitlines(keepends=True)[-1]
    text = good[: good.index("\n\n") + 1]
    unknown = Signer(other_key, LOG).sign(text) + bad
    forger.edit(15, lambda value: value["data"].update(note=unknown))
    assert (15, "checkpoint-bad-signature") in faults(verify(folder))
    forger.edit(15, lambda value: value["data"].update(note=Signer(other_key, LOG).sign(text)))
    assert (15, "checkpoint-unsigned") in faults(verify(folder))
    stray = Signer(key, LOG).sign(Checkpoint("bastion/runbookd/other", 15, bytes(32)).text())
    forger.edit(15, lambda value: value["data"].update(note=stray))
    assert (15, "checkpoint-mismatch") in faults(verify(folder))
    forger.edit(15, lambda value: value["data"].update(note="gone"))
    assert (15, "checkpoint-malformed") in faults(verify(folder))
    (folder / "checkpoint").write_text(unknown)
    assert (None, "checkpoint-bad-signature") in faults(verify(folder))


# ---- someone with a key ----------------------------------------------------------------------


def forge(value: dict[str, Any]) -> None:
    value["data"]["text"] = "made up"


def test_resealing_the_end_with_the_current_key_fails_at_earlier_checkpoints(
    folder: Path, forger: Forger, key: Ed25519PrivateKey
) -> None:
    forger.edit(1, forge)
    forger.reseal(key, last_only=True)
    assert {(n, "checkpoint-mismatch") for n in (2, 7, 9)} == faults(verify(folder))


async def test_rewriting_everything_with_the_stolen_key_shows_against_an_outside_checkpoint(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    notes = await whole_session(tmp_path, key)
    forger = Forger(tmp_path)
    forger.edit(1, forge)
    forger.reseal(key)
    alone = verify(tmp_path)
    assert alone.ok
    assert "not-anchored" in unproved(alone)
    for outside in notes:
        report = verify(tmp_path, checkpoints=[outside])
        assert {"anchor-mismatch", "two-notes"} <= kinds(report)
        assert report.anchored == 0


async def test_rewriting_everything_with_a_new_key_shows_against_an_outside_checkpoint(
    tmp_path: Path, key: Ed25519PrivateKey, other_key: Ed25519PrivateKey
) -> None:
    notes = await whole_session(tmp_path, key)
    forger = Forger(tmp_path)
    vkey = Signer(other_key, LOG).verifier.vkey
    forger.edit(0, lambda value: value["data"].update(vkey=vkey))
    (tmp_path / "record.vkey").write_text(f"{vkey}\n")
    forger.reseal(other_key)
    assert verify(tmp_path).ok
    assert kinds(verify(tmp_path, checkpoints=notes)) == {"anchor-other-key"}


def test_another_verifier_key_in_the_folder_shows(
    folder: Path, other_key: Ed25519PrivateKey
) -> None:
    (folder / "record.vkey").write_text(Signer(other_key, LOG).verifier.vkey + "\n")
    report = verify(folder)
    assert {(0, "vkey-mismatch"), (2, "checkpoint-unsigned")} <= faults(report)
    (folder / "record.vkey").write_text("nonsense")
    assert "vkey-malformed" in kinds(verify(folder))
    (folder / "record.vkey").unlink()
    outside = [(folder / "checkpoint").read_text()]
    assert verify(folder).log == LOG
    assert {"vkey-missing", "no-checkpoint"} <= kinds(verify(folder, checkpoints=outside))


def test_outside_checkpoints_that_prove_nothing_are_said_to(
    folder: Path, key: Ed25519PrivateKey
) -> None:
    other_log = Signer(key, "bastion/runbookd/other").checkpoint(3, bytes(32))
    report = verify(folder, checkpoints=["not a note", other_log])
    assert report.ok
    assert {"anchor-malformed", "anchor-other-log", "not-anchored"} <= unproved(report)
    altered = (folder / "checkpoint").read_text().replace("\n15\n", "\n14\n")
    assert kinds(verify(folder, checkpoints=[altered])) == {"anchor-bad-signature"}


# ---- files -----------------------------------------------------------------------------------


def test_a_swapped_blob_shows(folder: Path) -> None:
    blobs = folder / "blobs" / "sha256"
    [digest] = os.listdir(blobs)
    (blobs / digest).write_bytes(b"another picture")
    assert (None, "blob-altered") in faults(verify(folder))
    (blobs / digest).unlink()
    assert (4, "blob-missing") in faults(verify(folder))
    (blobs / digest).symlink_to("/etc/hostname")
    assert (None, "blob-altered") in faults(verify(folder))
    (blobs / digest).unlink()
    (blobs / digest).write_bytes(b"a picture")
    (blobs / f".{digest}.1.aa.tmp").write_bytes(b"half")
    assert verify(folder).ok
    (blobs / "readme").write_bytes(b"x")
    assert (None, "blob-altered") in faults(verify(folder))


def test_a_swapped_notebook_shows(folder: Path) -> None:
    (folder / "runbook.ipynb").write_bytes(b"{}")
    assert (0, "runbook-altered") in faults(verify(folder))
    (folder / "runbook.ipynb").unlink()
    report = verify(folder)
    assert report.ok
    assert "runbook-missing" in unproved(report)


def test_an_empty_or_missing_record_is_no_record(tmp_path: Path) -> None:
    report = verify(tmp_path)
    assert {"record-missing", "vkey-missing"} == kinds(report)
    os.mkfifo(tmp_path / "record.jsonl")
    os.mkfifo(tmp_path / "checkpoint")
    assert "record-unreadable" in kinds(verify(tmp_path))
    (tmp_path / "record.jsonl").unlink()
    (tmp_path / "record.jsonl").write_bytes(b"")
    assert "no-checkpoint" in unproved(verify(tmp_path))
    (tmp_path / "record.jsonl").unlink()
    (tmp_path / "record.jsonl").mkdir()
    assert "record-unreadable" in kinds(verify(tmp_path))
    assert report.lines()


def test_a_record_opens_once_and_at_its_beginning(
    folder: Path, forger: Forger, key: Ed25519PrivateKey
) -> None:
    lines = forger.lines()
    forger.write([lines[1], *lines])
    forger.reseal(key)
    assert {(0, "no-opening"), (1, "second-opening")} <= faults(verify(folder))


async def test_what_comes_after_the_closing_is_mentioned(
    folder: Path, forger: Forger, key: Ed25519PrivateKey
) -> None:
    lines = forger.lines()
    forger.write([*lines, lines[1]])
    forger.reseal(key)
    report = verify(folder)
    assert "after-closing" in {found.kind for found in report.findings}
    assert report.ok


def test_a_record_that_is_wrong_everywhere_gives_a_short_report(
    folder: Path, forger: Forger
) -> None:
    forger.write([b"{}\n"] * 1000)
    report = verify(folder)
    assert len([found for found in report.findings if found.kind == "not-an-event"]) == 20
    assert report.left_out["not-an-event"] == 980
    assert any("980 more of not-an-event" in line for line in report.lines())


# ---- several sessions ------------------------------------------------------------------------


async def three_sessions(home: Path, key: Ed25519PrivateKey) -> list[Path]:
    previous: str | None = None
    for number in range(3):
        notes = await whole_session(
            home / f"s{number}", key, log=f"bastion/runbookd/s{number}", previous=previous
        )
        previous = notes[-1]
    return [home / f"s{number}" for number in range(3)]


async def test_a_deleted_session_shows(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    folders = await three_sessions(tmp_path, key)
    (tmp_path / "stray").mkdir()
    overview = verify_all(tmp_path)
    assert overview.ok
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "record.jsonl").write_bytes(b"")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "record.jsonl").write_bytes(b"junk\n")
    assert [report.ok for report in verify_all(tmp_path).reports] == [False, False] + [True] * 3
    shutil.rmtree(tmp_path / "empty")
    shutil.rmtree(tmp_path / "junk")
    assert len(overview.reports) == 3
    shutil.rmtree(folders[1])
    overview = verify_all(tmp_path)
    assert not overview.ok
    [found] = overview.missing
    assert found.kind == "session-missing"
    assert "bastion/runbookd/s1" in found.text


async def test_a_session_rewritten_with_the_key_shows_in_the_next_one(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    folders = await three_sessions(tmp_path, key)
    forger = Forger(folders[0])
    forger.edit(1, forge)
    forger.reseal(key)
    assert verify(folders[0]).ok
    overview = verify_all(tmp_path)
    assert [report.ok for report in overview.reports] == [False, True, True]
    assert "anchor-mismatch" in kinds(overview.reports[0])
    # What a session of the same daemon holds is no outside witness.
    assert [report.anchored for report in overview.reports] == [0, 0, 0]


def test_an_opening_names_its_key() -> None:
    assert opened("k").data.vkey == "k"
