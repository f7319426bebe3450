"""Checkpoints of a record: those in its lines, and those that were kept beside or outside of it.

A checkpoint that somebody kept binds the record: its first lines must still have that root, and
the checkpoint must stand in its place, since it is recorded before anybody gets it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from runbookd.events import Checkpointed, Recorded
from runbookd.record.note import (
    BadSignature,
    Checkpoint,
    NoteError,
    NotSigned,
    Verifier,
    unverified_checkpoint,
)
from runbookd.record.report import Anchor, Findings, Kind, Severity

Holder = Literal["given", "next-session"]

_NAMES = {
    "file": "the checkpoint file",
    "given": "a checkpoint from outside",
    "next-session": "the checkpoint that the next session recorded",
}


@dataclass(slots=True)
class _Held:
    """A checkpoint that does not come from the lines; its signature holds."""

    checkpoint: Checkpoint
    source: Literal["file"] | Holder
    agrees: bool = False

    @property
    def size(self) -> int:
        return self.checkpoint.size

    def name(self) -> str:
        return _NAMES[self.source]


class Checkpoints:
    """Everything about checkpoints while the lines go by. Findings go where they are told to.

    Attributes:
        embedded: how many in the lines hold.
        signed: how many lines the last of them covers.
    """

    def __init__(self, verifier: Verifier | None, findings: Findings) -> None:
        self._verifier = verifier
        self._findings = findings
        self._held: list[_Held] = []
        self._has_file = False
        self._file_size = -1
        self._behind = 0
        self.embedded = 0
        self.signed = 0

    def keep_file(self, text: str) -> None:
        """Take the record's own ``checkpoint`` file."""
        self._has_file = True
        found = self._verified(None, text, _NAMES["file"])
        if found is not None:
            self._file_size = found.size
            self._held.append(_Held(found, "file"))

    def keep(self, notes: Sequence[str], holder: Holder) -> None:
        """Take checkpoints that others kept; what other sessions hold may be of any log."""
        for note in notes:
            try:
                claimed = unverified_checkpoint(note)
            except NoteError as error:
                if holder == "given":
                    text = f"a checkpoint from outside proves nothing: {error}"
                    self._findings.add(None, "anchor-malformed", text, "unproved")
                continue
            if self._verifier is None:
                continue
            if claimed.origin == self._verifier.name:
                self._keep_ours(self._verifier, note, holder)
            elif holder == "given":
                text = f"a checkpoint from outside is of another log, {claimed.origin}"
                self._findings.add(None, "anchor-other-log", text, "unproved")

    def _keep_ours(self, verifier: Verifier, note: str, holder: Holder) -> None:
        try:
            self._held.append(_Held(verifier.checkpoint(note), holder))
        except NotSigned:
            text = "somebody holds a checkpoint of this log that another key signed"
            self._findings.add(None, "anchor-other-key", text)
        except NoteError:
            text = f"{_NAMES[holder]} has a bad signature by the log's key"
            self._findings.add(None, "anchor-bad-signature", text)

    def line(self, now: Checkpoint, following: Recorded | None) -> None:
        """Compare what is known about the lines so far, ``now``, with what others hold of them.

        ``following`` is the next line; None when there is none, or it cannot be read.
        """
        for held in self._held:
            if held.size == now.size:
                self._compare(held, now, following)

    def line_holds(self, now: Checkpoint, note: str) -> None:
        """Check the checkpoint in the line behind ``now``."""
        found = self._verified(now.size, note, "the checkpoint")
        if found is None:
            return
        if found != now:
            text = f"the signed checkpoint over {found.size} lines does not fit the lines before it"
            self._findings.add(now.size, "checkpoint-mismatch", text)
            return
        self.embedded += 1
        self.signed = found.size
        if self._file_size < found.size:
            self._behind += 1

    def end(self, size: int) -> None:
        """The lines are over, ``size`` of them."""
        roots: dict[int, bytes] = {}
        for held in self._held:
            if roots.setdefault(held.size, held.checkpoint.root) != held.checkpoint.root:
                text = f"two signed checkpoints over {held.size} lines differ: two histories"
                self._findings.add(None, "two-notes", text)
            if held.size > size:
                text = f"{held.name()} covers {held.size} lines, but only {size} are here"
                self._findings.add(None, "truncated", text)
        if self._behind:
            what = "lags behind the record's last checkpoint" if self._has_file else "is missing"
            # The line comes before the file: a crash or a running session leaves it one behind.
            severity: Severity = "fault" if self._behind > 1 else "unproved"
            text = f"the checkpoint file {what}, by {self._behind}"
            self._findings.add(None, "checkpoint-behind", text, severity)

    def anchors(self) -> tuple[Anchor, ...]:
        """The checkpoints of this log that others hold."""
        return tuple(
            Anchor(
                size=held.size,
                root=held.checkpoint.root.hex(),
                held=held.source,
                agrees=held.agrees,
            )
            for held in self._held
            if held.source != "file"
        )

    def anchored(self) -> int:
        """How many lines an agreeing checkpoint from outside covers."""
        given = (held.size for held in self._held if held.agrees and held.source == "given")
        return max(given, default=0)

    def _verified(self, seq: int | None, note: str, name: str) -> Checkpoint | None:
        """The checkpoint in a note of the record's own, when its signature holds."""
        if self._verifier is None:
            return None
        try:
            found = self._verifier.checkpoint(note)
        except BadSignature:
            text = f"{name} has a signature by the log's key that does not hold"
            self._findings.add(seq, "checkpoint-bad-signature", text)
        except NotSigned:
            text = f"{name} is not signed by the log's key"
            self._findings.add(seq, "checkpoint-unsigned", text)
        except NoteError as error:
            self._findings.add(seq, "checkpoint-malformed", f"{name} cannot be read: {error}")
        else:
            if found.origin == self._verifier.name:
                return found
            text = f"{name} is another log's, {found.origin}"
            self._findings.add(seq, "checkpoint-mismatch", text)
        return None

    def _compare(self, held: _Held, now: Checkpoint, following: Recorded | None) -> None:
        own = _embedded(following)
        if held.checkpoint != now:
            if own is not None and own.size == now.size:
                text = f"{held.name()} and the record's own for {now.size} lines: two histories"
                self._findings.add(now.size, "two-notes", text)
            kind: Kind = "checkpoint-mismatch" if held.source == "file" else "anchor-mismatch"
            text = f"{held.name()} over {now.size} lines does not fit the first {now.size} lines"
            self._findings.add(None, kind, text)
        elif following is None:
            text = f"{held.name()} covers {now.size} lines, but its own line behind them is missing"
            self._findings.add(None, "truncated", text)
        elif own != held.checkpoint:
            text = f"{held.name()} over {now.size} lines fits, but is not recorded in its place"
            self._findings.add(now.size, "checkpoint-unrecorded", text)
        else:
            held.agrees = True


def _embedded(line: Recorded | None) -> Checkpoint | None:
    """The checkpoint that a line claims; its signature is somebody else's question."""
    if line is None or not isinstance(line.event, Checkpointed):
        return None
    try:
        return unverified_checkpoint(line.event.data.note)
    except NoteError:
        return None
