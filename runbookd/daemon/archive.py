"""The sessions folder as it lies on disk: listing and describing what nobody serves."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from runbookd.api import SessionInfo
from runbookd.errors import InputError, RecordError, RunbookdError
from runbookd.events import Recorded
from runbookd.session.state import OPEN_REQUEST, SessionState, fold_all
from runbookd.visible import one_line

_TAIL = 256 * 1024
_NEWEST = 16


class Archive:
    """Reads records; never changes one. ``problems`` holds what is wrong with which session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._described: dict[str, SessionInfo] = {}
        self.problems: dict[str, str] = {}

    def names(self) -> list[str]:
        """The ids of all sessions on disk."""
        if not self._folder.is_dir():
            return []
        return [
            entry.name for entry in self._folder.iterdir() if (entry / "record.jsonl").is_file()
        ]

    def open_folders(self) -> list[Path]:
        """The sessions whose record does not end with their closing and a checkpoint over it."""
        folders = [self._folder / name for name in sorted(self.names())]
        return [folder for folder in folders if not _is_closed(folder / "record.jsonl")]

    def folder(self, session: str) -> Path:
        """The folder of a session. Raises InputError when there is none of that id."""
        folder = self._folder / session
        if folder.parent != self._folder or not (folder / "record.jsonl").is_file():
            raise InputError(f"there is no session {session!r}", "`runbookd sessions` lists them")
        return folder

    def lines(self, session: str) -> Iterator[Recorded]:
        """A record's lines. Raises ValueError where one is not whole."""
        with (self.folder(session) / "record.jsonl").open("rb") as file:
            for raw in file:
                line = json.loads(raw)
                if not isinstance(line, dict):
                    raise ValueError("a line of its record is no JSON object")
                yield Recorded.from_json(line)

    def info(self, session: str) -> SessionInfo:
        """A session that nobody serves, from its record."""
        if session in self._described:
            return self._described[session]
        try:
            found = describe(fold_all(self.lines(session)))
        except (ValueError, OSError, RecursionError, RunbookdError) as error:
            self.folder(session)
            first = one_line(str(error))
            found = _broken(session, self.problems.get(session) or first)
        if session in self.problems:
            found = found.model_copy(update={"problem": self.problems[session]})
        elif found.closed is not None:
            self._described[session] = found
        return found

    def blob(self, session: str, digest: str) -> bytes:
        """The bytes of a blob. Raises InputError when it is missing or is not what it was."""
        try:
            data = (self.folder(session) / "blobs" / "sha256" / digest).read_bytes()
        except OSError:
            raise InputError(f"session {session} has no blob {digest}") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise InputError(f"the blob {digest} was changed on disk", "run `runbookd verify`")
        return data

    def last_checkpoint(self) -> str | None:
        """The latest checkpoint of the newest session, so that a deleted session shows."""
        newest = sorted(self.names(), reverse=True)[:_NEWEST]
        for name in sorted(newest, key=self._opened, reverse=True):
            try:
                return (self._folder / name / "checkpoint").read_text("utf-8")
            except OSError:
                continue
        return None

    def _opened(self, session: str) -> str:
        """When a session was opened: two of one second have names in any order."""
        try:
            return next(self.lines(session)).ts
        except (OSError, ValueError, StopIteration):
            return ""


def describe(state: SessionState) -> SessionInfo:
    """A session in a list. Raises RecordError when there is no line of it."""
    if state.opened is None:
        raise RecordError("its record holds no line", "the daemon ended while it was opened")
    waiting = tuple(
        f"approval {asked.digest[:8]}" if asked.state == "pending" else f"run {asked.digest[:8]}"
        for asked in state.requests.values()
        if asked.state in OPEN_REQUEST and not state.closed
    )
    done = sum(cell.mark == "done" for cell in state.cells.values())
    return SessionInfo(
        id=state.id,
        title=state.opened.runbook.title,
        runbook=state.opened.runbook.path,
        opened=state.opened_ts,
        closed=state.closed_ts,
        driver=state.driver,
        drill=state.opened.drill,
        incident=state.opened.incident,
        waiting=waiting,
        done=done,
        total=len(state.cells),
        seq=state.seq,
    )


def _broken(session: str, problem: str) -> SessionInfo:
    return SessionInfo(
        id=session,
        title="(unreadable)",
        runbook="",
        opened="",
        closed=None,
        driver=None,
        drill=False,
        incident=None,
        waiting=(),
        done=0,
        total=0,
        seq=0,
        problem=problem,
    )


def _is_closed(record: Path) -> bool:
    """Whether the record ends with ``session.closed`` and a checkpoint over it."""
    try:
        with record.open("rb") as file:
            file.seek(0, 2)
            size = file.tell()
            file.seek(max(0, size - _TAIL))
            tail = file.read()
        kinds = [json.loads(line).get("type") for line in tail.splitlines()[-2:]]
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
    if not tail.endswith(b"\n"):
        return False
    return kinds == ["session.closed", "checkpoint"]
