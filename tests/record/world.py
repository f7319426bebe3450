"""What the tests of the record are made of: a clock, events, a session, and a forger's tools."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.canonical import canonical, digest, sha256
from runbookd.clock import rfc3339
from runbookd.events import (
    DAEMON,
    Actor,
    ApprovalClaimed,
    ApprovalDecided,
    ApprovalFinished,
    ApprovalFinishedData,
    ApprovalRequested,
    CellFinished,
    CellOutput,
    CellPlan,
    CellStarted,
    ClaimedData,
    ClosedData,
    Content,
    DecidedData,
    Event,
    FinishedData,
    NoteAdded,
    NoteData,
    OpenedData,
    OutputData,
    PolicyRef,
    RequestedData,
    RunbookRef,
    SandboxReport,
    SessionClosed,
    SessionOpened,
    StartedData,
)
from runbookd.record.chain import Chain
from runbookd.record.files import Files
from runbookd.record.note import Signer
from runbookd.record.redaction import Redactor
from runbookd.record.writer import RecordWriter

LOG = "bastion/runbookd/20261124-020731-checkout-3f9a"
ALICE = Actor(kind="person", id="alice", auth="peercred")
DANA = Actor(kind="person", id="dana", auth="slack")
SOURCE = "resize_pool(40)"
NOTEBOOK = b'{"cells": []}'
ZERO = "0" * 64


class ManualClock:
    """A clock that a test moves."""

    def __init__(self, mono: int = 1_000) -> None:
        self.time = datetime(2026, 11, 24, 2, 7, 31, tzinfo=UTC)
        self.mono = mono
        self.name = "boot-1"

    def now(self) -> datetime:
        return self.time

    def monotonic_ns(self) -> int:
        return self.mono

    def boot(self) -> str:
        return self.name

    def forward(self, **spans: float) -> None:
        span = timedelta(**spans)
        self.time += span
        self.mono += int(span.total_seconds() * 1e9)


def note(text: str) -> NoteAdded:
    return NoteAdded(data=NoteData(text=text))


def opened(vkey: str, previous: str | None = None) -> SessionOpened:
    return SessionOpened(
        data=OpenedData(
            program="runbookd 0.1.0",
            vkey=vkey,
            runbook=RunbookRef(title="Checkout", path="/r/c.ipynb", digest=sha256(NOTEBOOK)),
            policies=PolicyRef(digest=ZERO, files={"production.yaml": ZERO}),
            kernelspec="python3",
            cells=(
                CellPlan(id="look", title="Look", mode="read-only", source_digest=ZERO),
                CellPlan(id="fix", title="Fix", mode="gated", source_digest=sha256(SOURCE)),
            ),
            parameters={},
            sandbox=SandboxReport(level="full", backend="test", kernel="Linux"),
            previous=previous,
        )
    )


def closed() -> SessionClosed:
    return SessionClosed(data=ClosedData(reason="done"))


class Request:
    """The events in the life of one approval request, each to be altered by a test."""

    def __init__(self, clock: ManualClock, name: str = "r-1", quorum: int = 1) -> None:
        self.name = name
        self.quorum = quorum
        self.execution = f"x-{name}"
        self.expires_at = rfc3339(clock.now() + timedelta(minutes=15))
        self.document: dict[str, Any] = {
            "source": SOURCE,
            "source_digest": sha256(SOURCE),
            "requester": "alice",
            "requester_slack": None,
            "nonce": name,
        }
        self.digest = digest(self.document)

    def requested(self, **changes: Any) -> ApprovalRequested:
        data = RequestedData(
            document=self.document,
            digest=self.digest,
            rules=("default",),
            groups=("commanders",),
            quorum=self.quorum,
            expires_at=self.expires_at,
            requester="alice",
        )
        return ApprovalRequested(
            cell="fix", request=self.name, data=data.model_copy(update=changes)
        )

    def decided(self, person: str = "dana", **changes: Any) -> ApprovalDecided:
        data = DecidedData(
            decision="approve", person=person, via="slack", digest=self.digest, complete=True
        )
        return ApprovalDecided(cell="fix", request=self.name, data=data.model_copy(update=changes))

    def claimed(self, **changes: Any) -> ApprovalClaimed:
        data = ClaimedData(execution=self.execution, digest=self.digest)
        return ApprovalClaimed(cell="fix", request=self.name, data=data.model_copy(update=changes))

    def started(self, cell: str = "fix", request: str | None = "", **changes: Any) -> CellStarted:
        data = StartedData(
            execution=self.execution, lane="gated", source_digest=sha256(SOURCE), timeout_s=300
        )
        return CellStarted(
            cell=cell,
            request=self.name if request == "" else request,
            data=data.model_copy(update=changes),
        )

    def ended(self) -> list[Event]:
        finished = FinishedData(execution=self.execution, status="ok", duration_ms=5)
        return [
            CellFinished(cell="fix", request=self.name, data=finished),
            ApprovalFinished(
                cell="fix", request=self.name, data=ApprovalFinishedData(status="done")
            ),
        ]


async def start(
    folder: Path,
    key: Ed25519PrivateKey,
    clock: ManualClock | None = None,
    *,
    log: str = LOG,
    redactor: Redactor | None = None,
    files: Files | None = None,
    previous: str | None = None,
) -> RecordWriter:
    """A new record with its first line."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runbook.ipynb").write_bytes(NOTEBOOK)
    writer = await RecordWriter.create(
        folder,
        log=log,
        key=key,
        clock=clock or ManualClock(),
        redactor=redactor or Redactor(),
        files=files,
    )
    await writer.append(opened(writer.vkey, previous), actor=ALICE)
    return writer


async def whole_session(
    folder: Path, key: Ed25519PrivateKey, *, log: str = LOG, previous: str | None = None
) -> list[str]:
    """A closed session with a read-only cell, a blob, and an approved gated cell.

    Returns its checkpoints. The lines: 0 opened, 1 note, 2 checkpoint, 3 started, 4 output,
    5 finished, 6 requested, 7 checkpoint, 8 decided, 9 checkpoint, 10 claimed, 11 started,
    12 finished, 13 approval finished, 14 closed, 15 checkpoint.
    """
    clock = ManualClock()
    writer = await start(folder, key, clock, log=log, previous=previous)
    notes: list[str] = []

    async def checkpoint() -> None:
        await writer.checkpoint()
        assert writer.last_checkpoint
        notes.append(writer.last_checkpoint)

    await writer.append(note("pool is full"), actor=ALICE)
    await checkpoint()
    blob = await writer.blobs.put(b"a picture")
    look = StartedData(execution="x-0", lane="read-only", source_digest=ZERO, timeout_s=60)
    shown = OutputData(
        execution="x-0",
        channel="display",
        contents=(Content(mime="image/png", bytes=9, blob=blob),),
    )
    finished = FinishedData(execution="x-0", status="ok", duration_ms=3)
    await writer.append(CellStarted(cell="look", data=look), actor=ALICE)
    await writer.append(CellOutput(cell="look", data=shown), actor=DAEMON)
    await writer.append(CellFinished(cell="look", data=finished), actor=DAEMON)
    request = Request(clock)
    await writer.append(request.requested(), actor=ALICE)
    await checkpoint()
    clock.forward(minutes=2)
    await writer.append(request.decided(), actor=DANA)
    await checkpoint()
    await writer.append(request.claimed(), request.started(), actor=ALICE)
    await writer.append(*request.ended(), actor=DAEMON)
    await writer.append(closed(), actor=ALICE)
    await checkpoint()
    await writer.close()
    return notes


class Forger:
    """Someone who can write to the folder; with ``key``, someone who can sign as well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "record.jsonl"

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def write(self, lines: list[bytes]) -> None:
        self.path.write_bytes(b"".join(lines))

    def edit(self, number: int, change: Callable[[dict[str, Any]], None]) -> None:
        """Change one line, in canonical form, and leave the rest as it is."""
        lines = self.lines()
        value = json.loads(lines[number])
        change(value)
        lines[number] = canonical(value) + b"\n"
        self.write(lines)

    def reseal(self, key: Ed25519PrivateKey | None, *, last_only: bool = False) -> None:
        """Number and chain all lines again, and with a key sign the checkpoints again."""
        chain: Chain | None = None
        values = [json.loads(line) for line in self.lines()]
        checkpoints = [n for n, value in enumerate(values) if value["type"] == "checkpoint"]
        sealed: list[bytes] = []
        for number, value in enumerate(values):
            chain = chain or Chain.empty(value["log"])
            value["seq"], value["prev"] = number, chain.prev
            sign = key is not None and number in (checkpoints[-1:] if last_only else checkpoints)
            if sign:
                signed = Signer(key, chain.log).checkpoint(number, chain.tree.root())
                value["data"] = {"note": signed}
                (self.folder / "checkpoint").write_text(signed)
            raw = canonical(value)
            chain.add(raw)
            sealed.append(raw + b"\n")
        self.write(sealed)


def copy_of(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


class FaultyFiles(Files):
    """The system's calls, of which chosen ones fail.

    ``short`` takes that many bytes of the next write; ``fail[call]`` is a list of errno values (0:
    works) for the coming calls of that kind.
    """

    def __init__(self) -> None:
        self.short: int | None = None
        self.fail: dict[str, list[int]] = {}
        self.calls: list[str] = []

    def _count(self, call: str) -> None:
        self.calls.append(call)
        pending = self.fail.get(call)
        code = pending.pop(0) if pending else 0
        if code:
            raise OSError(code, os.strerror(code))

    def write(self, fd: int, data: bytes) -> int:
        self._count("write")
        if self.short is not None:
            taken, self.short = self.short, None
            return super().write(fd, data[:taken])
        return super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._count("fsync")
        super().fsync(fd)

    def truncate(self, fd: int, size: int) -> None:
        self._count("truncate")
        super().truncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        self._count("rename")
        super().rename(source, target)

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        self._count("open")
        return super().open(path, flags, mode)

    def link(self, source: Path, target: Path) -> None:
        self._count("link")
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        self._count("unlink")
        super().unlink(path)


FULL = errno.ENOSPC
BROKEN = errno.EIO
