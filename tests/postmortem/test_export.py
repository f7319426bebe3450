"""An export needs nothing but the folder, and says at the top what that folder is worth."""

import json
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import walk
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from record_builder import LOG, NOTEBOOK, Record

from runbookd.canonical import sha256
from runbookd.clock import parse_rfc3339
from runbookd.errors import InputError, RecordError
from runbookd.events import Checkpointed, SessionOpened
from runbookd.postmortem import export as module
from runbookd.postmortem.export import UNVERIFIED, export_markdown, statement
from runbookd.record.redaction import Redactor
from runbookd.record.report import Finding, Report
from runbookd.record.verify import verify
from runbookd.record.writer import RecordWriter

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class LineClock:
    """The time of the line that is being written."""

    def __init__(self) -> None:
        self.ts = ""

    def now(self) -> datetime:
        return parse_rfc3339(self.ts)

    def monotonic_ns(self) -> int:
        return int(self.now().timestamp())

    def boot(self) -> str:
        return "boot-1"


async def sealed(record: Record, folder: Path) -> Path:
    """The same walk, written and signed by the product's own writer."""
    clock = LineClock()
    writer = await RecordWriter.create(folder, log=LOG, key=KEY, clock=clock, redactor=Redactor())
    notebook = json.dumps(NOTEBOOK)
    (folder / "runbook.ipynb").write_text(notebook, encoding="utf-8")
    try:
        for data in record.blobs.values():
            await writer.blobs.put(data)
        for source in (cell["source"] for cell in NOTEBOOK["cells"]):
            await writer.blobs.put(source.encode())
        for line in record.lines:
            clock.ts = line.ts
            event = line.event
            if isinstance(event, Checkpointed):
                await writer.checkpoint()
                continue
            if isinstance(event, SessionOpened):
                runbook = event.data.runbook.model_copy(update={"digest": sha256(notebook)})
                settled = event.data.model_copy(update={"vkey": writer.vkey, "runbook": runbook})
                event = event.model_copy(update={"data": settled})
            await writer.append(event, actor=line.actor)
        if record.lines[-1].event.type == "session.closed":
            await writer.checkpoint()
    finally:
        await writer.close()
    return folder


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    return await sealed(walk(), tmp_path / "01j-test")


def head(text: str) -> str:
    return text.split("## Summary")[0]


async def test_a_sound_record_gives_a_draft_that_says_how_far_it_was_verified(
    folder: Path,
) -> None:
    report = verify(folder)
    assert report.ok, report.lines()
    text = export_markdown(folder)
    assert f"**Integrity: verified up to line {report.signed - 1}" in head(text)
    assert UNVERIFIED not in text
    assert "# Postmortem: Checkout latency" in text


async def test_a_copy_elsewhere_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copied"
    shutil.copytree(folder, copy)
    assert export_markdown(copy) == export_markdown(folder) == export_markdown(folder)


async def test_exporting_changes_nothing_in_the_folder(folder: Path) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = content()
    export_markdown(folder)
    assert content() == before


async def test_an_altered_line_makes_it_a_draft_from_an_unverified_record(folder: Path) -> None:
    record = folder / "record.jsonl"
    record.write_bytes(record.read_bytes().replace(b"The pool leaks", b"The pool holds"))
    text = export_markdown(folder)
    assert f"**Integrity: {UNVERIFIED}" in head(text)
    assert "> - fault: " in head(text)
    assert "The pool holds" in text


async def test_a_removed_line_is_told_as_far_as_the_record_goes(folder: Path) -> None:
    record = folder / "record.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(line for line in lines if b"approval.decided" not in line))
    text = export_markdown(folder)
    assert UNVERIFIED in head(text)
    assert "The record cannot be followed further" in text


async def test_a_line_that_cannot_be_read_is_left_out_and_said(folder: Path) -> None:
    record = folder / "record.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    lines[7] = b'{"this": "is no event"}\n'
    record.write_bytes(b"".join(lines))
    text = export_markdown(folder)
    assert UNVERIFIED in head(text)
    assert "The pool leaks" not in text


async def test_an_open_session_exports_up_to_its_last_line(tmp_path: Path) -> None:
    record = Record()
    record.run("usage", "pool 98 of 100\n")
    record.checkpoint()
    record.start("errors")
    text = export_markdown(await sealed(record, tmp_path / "open"))
    assert "verified up to line" in head(text)
    assert "**The session was still open**" in head(text)
    assert "was running at the last line" in text


async def test_a_record_that_nobody_signed_is_unverified(tmp_path: Path) -> None:
    record = Record()
    record.run("usage")
    text = export_markdown(await sealed(record, tmp_path / "open"))
    assert f"**Integrity: {UNVERIFIED}: no signed checkpoint covers" in head(text)


async def test_a_line_that_is_being_written_is_not_in_the_draft(tmp_path: Path) -> None:
    record = Record()
    record.run("usage")
    record.checkpoint()
    folder = await sealed(record, tmp_path / "open")
    whole = (folder / "record.jsonl").read_bytes()
    (folder / "record.jsonl").write_bytes(whole + b'{"actor":{"auth":"peer')
    text = export_markdown(folder)
    assert f"Lines in this draft: {len(record.lines)}" in text


async def test_lines_that_come_after_verification_are_not_in_the_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record()
    record.run("usage")
    record.checkpoint()
    folder = await sealed(record, tmp_path / "open")
    file = folder / "record.jsonl"

    def verify_while_it_grows(folder: Path) -> Report:
        found = verify(folder)
        file.write_bytes(file.read_bytes() * 2)
        return found

    before = export_markdown(folder)
    monkeypatch.setattr(module, "verify", verify_while_it_grows)
    assert export_markdown(folder) == before


async def test_missing_files_are_named_and_do_not_stop_the_export(folder: Path) -> None:
    shutil.rmtree(folder / "blobs")
    (folder / "runbook.ipynb").unlink()
    text = export_markdown(folder)
    assert UNVERIFIED in head(text)
    assert "is missing from the folder" in text


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
async def test_a_damaged_notebook_does_not_stop_the_export(folder: Path, content: bytes) -> None:
    (folder / "runbook.ipynb").write_bytes(content)
    assert "# Postmortem: Checkout latency" in export_markdown(folder)


async def test_a_blob_that_is_a_link_or_a_pipe_is_not_followed(folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b"\x89PNG picture")
    (blob,) = [
        path
        for path in (folder / "blobs" / "sha256").iterdir()
        if path.read_bytes() == secret.read_bytes()
    ]
    blob.unlink()
    blob.symlink_to(secret)
    assert f"**not there:** `blobs/sha256/{blob.name}`" in export_markdown(folder)
    blob.unlink()
    os.mkfifo(blob)
    missing = f"**not there:** `blobs/sha256/{blob.name}` is missing from the folder"
    assert missing in export_markdown(folder)


def test_a_folder_without_a_record_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no record\.jsonl; give a session"):
        export_markdown(tmp_path)


def test_an_empty_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "record.jsonl").touch()
    with pytest.raises(RecordError):
        export_markdown(tmp_path)


def report(*findings: Finding, **more: Any) -> Report:
    values: dict[str, Any] = {
        "folder": "x",
        "log": LOG,
        "vkey": None,
        "size": 10,
        "root": "",
        "closed": True,
        "checkpoints": 1,
        "signed": 10,
        "anchored": 0,
        "anchors": (),
        "left_out": {},
    }
    return Report(**(values | more), findings=findings)


def finding(severity: Any, text: str, seq: int | None = None) -> Finding:
    return Finding(seq=seq, area="integrity", kind="not-json", severity=severity, text=text)


def test_a_verdict_names_lines_that_no_checkpoint_covers() -> None:
    assert statement(report()) == "verified up to line 9"
    assert statement(report(signed=9)) == "verified up to line 8"
    assert statement(report(signed=8)) == (
        "verified up to line 7; no signed checkpoint covers the lines after it, up to 9"
    )


def test_a_verdict_lists_faults_first_and_leaves_remarks_out() -> None:
    found = report(
        finding("unproved", "nobody else holds a checkpoint"),
        finding("info", "a remark"),
        finding("fault", "the line was\nchanged", 4),
        left_out={"not-json": 3},
    )
    assert statement(found).splitlines() == [
        f"{UNVERIFIED}: verification found what is listed here",
        "fault: line 4: the line was changed",
        "not proved: nobody else holds a checkpoint",
        "and 3 more of not-json",
    ]
