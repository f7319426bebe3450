"""All sessions of a home: opening, finding again after a restart, and reaching them by id."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd import __version__
from runbookd.api import OpenSession, SessionInfo
from runbookd.clock import Clock
from runbookd.daemon.archive import Archive, describe
from runbookd.errors import (
    InputError,
    RecordError,
    RecordUnwritable,
    RunbookdError,
    RunbookError,
    Unavailable,
)
from runbookd.events import (
    DAEMON,
    Actor,
    CellPlan,
    NoteAdded,
    NoteData,
    OpenedData,
    PolicyRef,
    Recovered,
    RecoveredData,
    RunbookRef,
    SandboxReport,
    SessionOpened,
)
from runbookd.kernels.specs import find_kernelspec
from runbookd.policy.model import Policies
from runbookd.record.redaction import Redactor
from runbookd.record.writer import RecordWriter
from runbookd.runbook.folder import git_commit
from runbookd.runbook.notebook import Runbook, plan, read_runbook
from runbookd.runbook.parameters import resolve
from runbookd.session.engine import Session, Tools
from runbookd.session.journal import Journal
from runbookd.session.lanes import Ground, Lanes, check_connectors
from runbookd.session.state import fold_all

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class World:
    """What the daemon hands to every session.

    ``redactor`` makes the redactor of a new session, already knowing the daemon's own secrets.
    """

    host: str
    key: Ed25519PrivateKey
    clock: Clock
    report: SandboxReport
    ground: Ground
    tools: Tools
    redactor: Callable[[Policies], Redactor]


class Sessions:
    """The sessions of one home, each served by a task of its own."""

    def __init__(self, folder: Path, world: World) -> None:
        self._folder = folder
        self._world = world
        self._archive = Archive(folder)
        self._served: dict[str, Session] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._opening = asyncio.Lock()

    async def serve(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Take up the sessions that are open on disk, then serve until ``stop``."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for folder in await asyncio.to_thread(self._archive.open_folders):
                try:
                    await self._take_up(folder)
                except RunbookdError as error:
                    _log.error("session.not_taken_up", session=folder.name, error=str(error))
                    self._archive.problems[folder.name] = str(error)
                except Exception as error:  # noqa: BLE001 - one broken session must not end the daemon
                    _log.exception("session.not_taken_up", session=folder.name)
                    self._archive.problems[folder.name] = f"{type(error).__name__}; see the log"
            ready.set()
            await stop.wait()
            self._tasks = None
            for session in self._served.values():
                session.stop()

    @property
    def served(self) -> tuple[Session, ...]:
        """The sessions that take commands."""
        return tuple(self._served.values())

    def find(self, session: str) -> Session:
        """A session that takes commands.

        Raises:
            InputError: there is none of that id.
            RecordError: it is there, but could not be taken up.
        """
        found = self._served.get(session)
        if found is not None:
            return found
        if session in self._archive.problems:
            raise RecordError(
                f"session {session} could not be taken up: {self._archive.problems[session]}",
                f"look at it with `runbookd verify {session}`",
            )
        self._archive.folder(session)
        raise InputError(f"session {session} is closed", "open a new one with `runbookd open`")

    async def list(self) -> tuple[SessionInfo, ...]:
        """All sessions, the newest first."""
        names = await asyncio.to_thread(self._archive.names)
        return tuple([await self.info(name) for name in sorted(names, reverse=True)])

    async def info(self, session: str) -> SessionInfo:
        """One session. Raises InputError when there is none of that id."""
        found = self._served.get(session)
        if found is not None:
            return describe(found.state)
        return await asyncio.to_thread(self._archive.info, session)

    async def notebook(self, session: str) -> dict[str, Any]:
        """The frozen notebook, each cell with the id that events use."""
        folder = self._archive.folder(session)
        return await asyncio.to_thread(_identified, folder / "runbook.ipynb")

    async def blob(self, session: str, digest: str) -> bytes:
        """The bytes of a blob. Raises InputError when there is none."""
        return await asyncio.to_thread(self._archive.blob, session, digest)

    async def events(self, session: str, start: int, *, follow: bool) -> AsyncIterator[bytes]:
        """The record's lines from ``start``; with ``follow`` until the session is closed."""
        found = self._served.get(session)
        if found is not None:
            async for lines in found.journal.follow(start, live=follow):
                yield lines
            return
        record = self._archive.folder(session) / "record.jsonl"
        with await asyncio.to_thread(record.open, "rb") as file:
            for seq, line in enumerate(file):
                if seq >= start and line.endswith(b"\n"):
                    yield line

    # ---- opening ---------------------------------------------------------------------------

    async def open(self, wanted: OpenSession, actor: Actor, path: Path) -> SessionInfo:
        """Open a session on the notebook at ``path``.

        Raises:
            RunbookError, PolicyError, InputError: nothing was created.
            KernelUnavailable: this machine has no kernel for it; nothing was created.
            RecordUnwritable: the disk does not take it; nothing is left behind.
        """
        runbook = await asyncio.to_thread(read_runbook, path)
        parameters = resolve(runbook, wanted.parameters)
        policies = self._world.tools.policies()
        check_connectors(runbook, policies)
        if any(cell.kind == "code" and cell.is_step for cell in runbook.cells):
            await asyncio.to_thread(find_kernelspec, runbook.kernelspec)
        async with self._opening:
            if self._tasks is None:
                raise Unavailable("the daemon is ending", "run the command again")
            data = await self._opened(wanted, runbook, policies, parameters)
            folder = self._new_folder(runbook)
            writer: RecordWriter | None = None
            try:
                await asyncio.to_thread(_freeze, folder / "runbook.ipynb", runbook.raw)
                redactor = self._world.redactor(policies)
                writer = await RecordWriter.create(
                    folder,
                    log=f"{self._world.host}/runbookd/{folder.name}",
                    key=self._world.key,
                    clock=self._world.clock,
                    redactor=redactor,
                )
                journal = Journal(writer, folder / "record.jsonl")
                opened = data.model_copy(update={"vkey": writer.vkey})
                await journal.append(SessionOpened(data=opened), actor=actor)
                await journal.checkpoint()
            except BaseException as error:
                if writer is not None:
                    await writer.close()
                shutil.rmtree(folder, ignore_errors=True)
                if isinstance(error, OSError):
                    raise _unwritable(folder, error) from None
                raise
            frozen = _frozen(runbook, opened)
            await self._serve(folder, journal, writer, redactor, frozen)
        return describe(journal.state)

    async def _opened(
        self,
        wanted: OpenSession,
        runbook: Runbook,
        policies: Policies,
        parameters: dict[str, str],
    ) -> OpenedData:
        report = self._world.report
        unenforced = report.level == "none" and policies.lanes.read_only.sandbox == "unenforced"
        cells = plan(runbook)
        if report.level == "none" and not unenforced:
            cells = tuple(_gated(cell) for cell in cells)
        return OpenedData(
            program=f"runbookd {__version__}",
            vkey="",
            runbook=RunbookRef(
                title=runbook.title,
                path=str(runbook.path),
                digest=runbook.digest,
                commit=await asyncio.to_thread(git_commit, runbook.path, runbook.raw),
            ),
            policies=PolicyRef(digest=policies.digest, files=policies.files),
            kernelspec=runbook.kernelspec,
            cells=cells,
            parameters=parameters,
            sandbox=report,
            unenforced=unenforced,
            drill=wanted.drill,
            incident=wanted.incident,
            service=runbook.service,
            environment=runbook.environment,
            severity=wanted.severity if wanted.severity is not None else runbook.severity,
            previous=await asyncio.to_thread(self._archive.last_checkpoint),
        )

    def _new_folder(self, runbook: Runbook) -> Path:
        slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in runbook.path.stem)
        slug = "-".join(part for part in slug.lower().split("-") if part)[:40] or "runbook"
        moment: datetime = self._world.clock.now()
        name = f"{moment:%Y%m%d-%H%M%S}-{slug}-{self._world.tools.token()[:4]}"
        folder = self._folder / name
        try:
            folder.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise _unwritable(folder, error) from None
        return folder

    # ---- taking up -------------------------------------------------------------------------

    async def _take_up(self, folder: Path) -> None:
        runbook = await asyncio.to_thread(read_runbook, folder / "runbook.ipynb")
        policies = self._world.tools.policies()
        redactor = self._world.redactor(policies)
        writer, lines, torn = await RecordWriter.open(
            folder,
            key=self._world.key,
            clock=self._world.clock,
            redactor=redactor,
        )
        try:
            state = fold_all(lines)
            if state.opened is None or state.opened.runbook.digest != runbook.digest:
                raise RecordError("the frozen notebook is not the one that was opened")
            journal = Journal(writer, folder / "record.jsonl", state)
            unknown = tuple(run.id for run in state.executions.values() if run.status is None)
            if state.closed:
                # The daemon ended between the closing and the checkpoint over it.
                await journal.checkpoint()
            elif unknown or torn or state.kernel:
                data = RecoveredData(executions=unknown, torn_bytes=torn)
                await journal.append(Recovered(data=data))
                await journal.checkpoint()
        except BaseException:
            await writer.close()
            raise
        if state.closed:
            await writer.close()
            return
        frozen = _frozen(runbook, state.opened)
        await self._serve(folder, journal, writer, redactor, frozen)

    async def _serve(
        self,
        folder: Path,
        journal: Journal,
        writer: RecordWriter,
        redactor: Redactor,
        runbook: Runbook,
    ) -> None:
        if self._tasks is None:
            await writer.close()
            raise RunbookError("the daemon is ending", "run the command again")
        lanes = Lanes(journal, runbook, self._world.ground, self._world.tools.policies)
        session = Session(
            journal=journal,
            blobs=writer.blobs,
            redactor=redactor,
            runbook=runbook,
            lanes=lanes,
            tools=self._world.tools,
        )
        ready = asyncio.Event()
        self._served[folder.name] = session
        self._tasks.create_task(self._attend(folder.name, session, writer, ready))
        await ready.wait()

    async def _attend(
        self, name: str, session: Session, writer: RecordWriter, ready: asyncio.Event
    ) -> None:
        """Serve a session; a fault in one must not end the others."""
        try:
            await session.serve(ready)
        except Exception:  # noqa: BLE001 - whatever it was, it is this session's end, not the daemon's
            _log.exception("session.failed", session=name)
            self._archive.problems[name] = "an internal error ended it; see the daemon's log"
        finally:
            ready.set()
            self._served.pop(name, None)
            if writer.failed or session.failure:
                self._archive.problems[name] = "its record cannot be extended any more"
                await _last_words(writer)
            await writer.close()


async def _last_words(writer: RecordWriter) -> None:
    """Where the disk is full, the reserve takes one more line: that nothing ran from here on."""
    said = NoteData(text="The record could not be extended: nothing ran after the line before.")
    with contextlib.suppress(RecordUnwritable):
        await writer.last_words(NoteAdded(data=said), actor=DAEMON)


def _unwritable(folder: Path, error: OSError) -> RecordUnwritable:
    return RecordUnwritable(
        f"no session can be made in {folder.parent}: {error.strerror}",
        "look at the disk's free space and health",
    )


def _gated(cell: CellPlan) -> CellPlan:
    """Where nothing walls a cell in, it needs an approval (design, section 3)."""
    if cell.mode != "read-only":
        return cell
    return cell.model_copy(update={"mode": "gated", "risk": cell.risk or "high"})


def _frozen(runbook: Runbook, opened: OpenedData) -> Runbook:
    """The runbook under the path that it was opened from, which rules may look at."""
    return replace(runbook, path=Path(opened.runbook.path))


def _freeze(path: Path, raw: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def _identified(path: Path) -> dict[str, Any]:
    runbook = read_runbook(path)
    notebook: dict[str, Any] = json.loads(runbook.raw)
    for cell, read in zip(notebook["cells"], runbook.cells, strict=True):
        cell["id"] = read.id
    return notebook
