"""Verifying a record from its folder alone, or from a copy of it.

One pass over ``record.jsonl`` in bounded memory: the chain and the tree grow over the lines as they
stand, every checkpoint is compared when its size is reached, and :class:`Sense` reads along. What
cannot be shown from what is here is said, too.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from runbookd.events import CellOutput, Checkpointed, Recorded, SessionClosed, SessionOpened
from runbookd.record.blobs import BlobStore, file_digest
from runbookd.record.chain import BREAKS, Chain
from runbookd.record.held import Checkpoints
from runbookd.record.layout import CHECKPOINT, RECORD, RUNBOOK, VKEY
from runbookd.record.meaning import Sense
from runbookd.record.note import Checkpoint, NoteError, Verifier, unverified_checkpoint
from runbookd.record.reader import SENTENCES, Line, scan
from runbookd.record.report import Findings, Kind, Overview, Report, Severity

_MAX_SMALL_FILE = 1_048_576


def verify(folder: Path, *, checkpoints: Sequence[str] = ()) -> Report:
    """Verify the record in ``folder``.

    Args:
        folder: a session's folder, or a copy.
        checkpoints: signed notes that others kept, each as its whole text.

    Returns:
        The report; whatever is wrong is a finding, nothing is raised for it.
    """
    return _Verification(folder, checkpoints, ()).run()


def verify_all(sessions: Path, *, checkpoints: Sequence[str] = ()) -> Overview:
    """Verify every session in a home's ``sessions`` folder, and that none is missing.

    Each session recorded the last checkpoint of the one before it, so a record that was deleted,
    or rewritten by somebody who did not rewrite its successor too, shows.
    """
    folders = sorted(folder for folder in sessions.iterdir() if (folder / RECORD).exists())
    previous = [(folder, note) for folder in folders if (note := _previous(folder))]
    reports = tuple(
        _Verification(folder, checkpoints, [note for _, note in previous]).run()
        for folder in folders
    )
    logs = {report.log for report in reports}
    missing = Findings()
    for folder, note in previous:
        try:
            origin = unverified_checkpoint(note).origin
        except NoteError:
            origin = "(unreadable)"
        if origin not in logs:
            text = f"{folder.name} follows the session {origin}, which is not there"
            missing.add(None, "session-missing", text)
    return Overview(reports=reports, missing=missing.listed())


class _Verification:
    """One run. Reads the small files first, so that a session that still grows is no fault."""

    def __init__(self, folder: Path, given: Sequence[str], next_sessions: Sequence[str]) -> None:
        self._folder = folder
        self._findings = Findings()
        self._sense = Sense(self._findings)
        self._blobs = BlobStore(folder)
        self._verifier = self._read_vkey()
        self._checkpoints = Checkpoints(self._verifier, self._findings)
        self._checkpoints.keep(given, "given")
        self._checkpoints.keep(next_sessions, "next-session")
        self._chain = Chain.empty(self._verifier.name if self._verifier else "")
        self._shift = 0
        self._closed_at: int | None = None

    def run(self) -> Report:
        file = _small_file(self._folder / CHECKPOINT)
        if file is not None:
            self._checkpoints.keep_file(file)
        self._read_lines()
        self._checkpoints.line(self._now(), None)
        self._checkpoints.end(self._chain.size)
        self._check_blobs()
        self._sense.end(closed=self._closed_at is not None)
        self._conclude()
        return Report(
            folder=str(self._folder),
            log=self._chain.log or None,
            vkey=self._verifier.vkey if self._verifier else None,
            size=self._chain.size,
            root=self._chain.tree.root().hex(),
            closed=self._closed_at is not None,
            checkpoints=self._checkpoints.embedded,
            signed=self._checkpoints.signed,
            anchored=self._checkpoints.anchored(),
            anchors=self._checkpoints.anchors(),
            findings=self._findings.listed(),
            left_out=self._findings.left_out(),
        )

    def _add(self, seq: int | None, kind: Kind, text: str, severity: Severity = "fault") -> None:
        self._findings.add(seq, kind, text, severity)

    # ---- what stands beside the lines -------------------------------------------------------

    def _read_vkey(self) -> Verifier | None:
        text = _small_file(self._folder / VKEY)
        if text is None:
            self._add(None, "vkey-missing", f"there is no {VKEY}, so no signature can be checked")
            return None
        try:
            return Verifier.parse(text.removesuffix("\n"))
        except NoteError as error:
            self._add(None, "vkey-malformed", f"{VKEY} cannot be used: {error}")
            return None

    # ---- the lines --------------------------------------------------------------------------

    def _read_lines(self) -> None:
        path = self._folder / RECORD
        try:
            if path.exists() and not path.is_file():
                # Opening a pipe would wait for ever.
                raise OSError(errno.EINVAL, "it is not a file")
            with path.open("rb") as file:
                for line in scan(file):
                    self._line(line)
        except FileNotFoundError:
            self._add(None, "record-missing", f"there is no {RECORD} in the folder")
        except OSError as error:
            self._add(None, "record-unreadable", f"{RECORD} cannot be read: {error.strerror}")

    def _line(self, line: Line) -> None:
        if line.defect == "unterminated":
            # A crash, or a session that is writing at this moment, leaves this behind; neither
            # happens to a closed one.
            severity: Severity = "unproved" if self._closed_at is None else "fault"
            self._add(line.number, "unterminated", SENTENCES["unterminated"], severity)
            return
        self._checkpoints.line(self._now(), line.recorded)
        if line.recorded is None:
            if line.defect is not None:
                self._add(line.number, line.defect, SENTENCES[line.defect])
        else:
            self._follow(line.number, line.recorded)
            self._event(line.number, line.recorded)
            self._sense.line(line.number, line.recorded)
        self._chain.add(line.raw)

    def _follow(self, number: int, recorded: Recorded) -> None:
        if not self._chain.log:
            self._chain.log = recorded.log
        for wrong in self._chain.breaks(recorded):
            if wrong == "wrong-seq":
                # One line too many or too few shifts all that follow; say so once.
                if recorded.seq - number == self._shift:
                    continue
                self._shift = recorded.seq - number
            self._add(number, wrong, BREAKS[wrong])
        if (number == 0) != isinstance(recorded.event, SessionOpened):
            kind: Kind = "second-opening" if number else "no-opening"
            text = (
                "a session opens again" if number else "the record does not begin with an opening"
            )
            self._add(number, kind, text)

    def _event(self, number: int, recorded: Recorded) -> None:
        event = recorded.event
        if self._closed_at is not None and not isinstance(event, Checkpointed):
            self._add(number, "after-closing", f"{event.type} after the closing", "info")
        match event:
            case SessionOpened(data=data):
                if self._verifier is not None and data.vkey != self._verifier.vkey:
                    text = f"{VKEY} is not the key that the session opened with"
                    self._add(number, "vkey-mismatch", text)
                self._check_runbook(number, data.runbook.digest)
            case SessionClosed():
                self._closed_at = number
            case Checkpointed(data=data):
                self._checkpoints.line_holds(self._now(), data.note)
            case CellOutput(data=data):
                for content in data.contents:
                    if content.blob and not self._blobs.path(content.blob).is_file():
                        text = f"its blob {content.blob} is not there"
                        self._add(number, "blob-missing", text)
            case _:
                pass

    def _now(self) -> Checkpoint:
        return Checkpoint(self._chain.log, self._chain.size, self._chain.tree.root())

    # ---- files ------------------------------------------------------------------------------

    def _check_runbook(self, number: int, expected: str) -> None:
        try:
            found = file_digest(self._folder / RUNBOOK)
        except OSError:
            text = f"the frozen {RUNBOOK} is not there to compare"
            self._add(number, "runbook-missing", text, "unproved")
            return
        if found != expected:
            text = f"{RUNBOOK} is not the notebook that was frozen"
            self._add(number, "runbook-altered", text)

    def _check_blobs(self) -> None:
        try:
            entries = os.scandir(self._blobs.folder)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                try:
                    same = file_digest(Path(entry.path)) == entry.name
                except OSError:
                    same = False
                if not same:
                    self._add(
                        None, "blob-altered", f"the blob {entry.name} is not what its name says"
                    )

    # ---- what can be said -------------------------------------------------------------------

    def _conclude(self) -> None:
        """Say what is open and what cannot be proved."""
        size = self._chain.size
        after = size - self._checkpoints.signed - 1
        # A closing is always signed at once: where it is not, the end was cut off or made up.
        signed_end = self._closed_at is None or self._closed_at < self._checkpoints.signed
        unsigned: Severity = "unproved" if signed_end else "fault"
        if self._closed_at is None:
            self._add(None, "not-closed", "the session was not closed; lines may follow", "info")
        if not self._checkpoints.embedded:
            text = (
                "no signed checkpoint holds: nothing shows that the lines are genuine or complete"
            )
            self._add(None, "no-checkpoint", text, unsigned)
        elif after > 0:
            text = (
                f"{after} lines follow the last signed checkpoint; without it nobody can tell "
                "whether they were changed or how many there were"
            )
            self._add(None, "after-checkpoint", text, unsigned)
        anchored = self._checkpoints.anchored()
        if not anchored:
            text = (
                "no checkpoint from outside agrees: whoever has the signing key could have "
                "rewritten the record whole"
            )
            self._add(None, "not-anchored", text, "unproved")
        elif size > anchored + 1:
            text = f"lines from {anchored + 1} on are newer than any checkpoint from outside"
            self._add(None, "not-anchored", text, "unproved")


def _small_file(path: Path) -> str | None:
    """A small text file, or None when it cannot be read. Never blocks on a pipe."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(_MAX_SMALL_FILE).decode("utf-8", "replace")
    except OSError:
        return None


def _previous(folder: Path) -> str | None:
    """The checkpoint of the session before, as the first line of a record has it."""
    try:
        if not (folder / RECORD).is_file():
            return None
        with (folder / RECORD).open("rb") as file:
            first = next(scan(file), None)
    except OSError:
        return None
    if first is None or first.recorded is None:
        return None
    event = first.recorded.event
    return event.data.previous if isinstance(event, SessionOpened) else None
