"""Opening a record that exists: read it whole, check it, and set a torn last line aside."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.errors import RecordError, RecordUnwritable
from runbookd.events import Checkpointed, Recorded
from runbookd.record.chain import BREAKS, Chain
from runbookd.record.files import Files
from runbookd.record.layout import CHECKPOINT, RECORD, VKEY
from runbookd.record.logfile import AppendFailed, LogFile, make_reserve, open_log
from runbookd.record.note import Checkpoint, NoteError, Signer, Verifier
from runbookd.record.reader import scan, sound

_HINT = "it is not continued; look with runbookd verify"


@dataclass(frozen=True, slots=True)
class Recovery:
    """A record that can be continued."""

    file: LogFile
    signer: Signer
    chain: Chain
    lines: list[Recorded]
    last_checkpoint: str | None
    torn_bytes: int


def recover(files: Files, folder: Path, key: Ed25519PrivateKey) -> Recovery:
    """Open the record in ``folder``, which was signed with ``key``.

    Raises:
        RecordError: there is none, it is damaged, or another key signed it.
        RecordUnwritable: another writer has it, or the disk refuses.
    """
    file = open_log(files, folder)
    try:
        found = _read(file, folder, _signer(folder, key))
        _repair(files, folder, found)
    except (OSError, AppendFailed) as error:
        file.close()
        raise RecordUnwritable(
            f"the record in {folder} cannot be continued: {error}",
            "look at the disk's free space and health",
        ) from error
    except BaseException:
        file.close()
        raise
    return found


def _signer(folder: Path, key: Ed25519PrivateKey) -> Signer:
    """``key`` under the name of the log, which is what ``record.vkey`` must say."""
    path = folder / VKEY
    try:
        vkey = path.read_text(encoding="utf-8").removesuffix("\n")
        signer = Signer(key, Verifier.parse(vkey).name)
    except (OSError, ValueError):
        raise RecordError(f"{path} holds no verifier key", _HINT) from None
    if signer.verifier.vkey != vkey:
        raise RecordError(f"the record in {folder} was signed with another key", _HINT)
    return signer


def _read(file: LogFile, folder: Path, signer: Signer) -> Recovery:
    path = folder / RECORD
    chain = Chain.empty(signer.origin)
    lines: list[Recorded] = []
    last_checkpoint: str | None = None
    torn = b""
    with file.reading() as stream:
        for line in scan(stream):
            if line.defect == "unterminated":
                torn = line.raw
                break
            recorded = sound(line, path)
            for wrong in chain.breaks(recorded):
                raise RecordError(f"{path}, line {line.number}: {BREAKS[wrong]}", _HINT)
            if isinstance(recorded.event, Checkpointed):
                last_checkpoint = recorded.event.data.note
                if not _holds(signer.verifier, last_checkpoint, chain):
                    raise RecordError(
                        f"{path}, line {line.number}: the checkpoint does not hold", _HINT
                    )
            chain.add(line.raw)
            lines.append(recorded)
            file.end += len(line.raw) + 1
    if torn:
        file.set_aside(chain.size, torn)
    return Recovery(file, signer, chain, lines, last_checkpoint, len(torn))


def _holds(verifier: Verifier, note: str, chain: Chain) -> bool:
    try:
        found = verifier.checkpoint(note)
    except NoteError:
        return False
    return found == Checkpoint(chain.log, chain.size, chain.tree.root())


def _repair(files: Files, folder: Path, found: Recovery) -> None:
    """Bring what stands beside the record up to it: a crash may have come in between."""
    make_reserve(files, folder)
    if found.last_checkpoint is None:
        return
    try:
        current = (folder / CHECKPOINT).read_bytes()
    except FileNotFoundError:
        current = b""
    if current != found.last_checkpoint.encode():
        found.file.write_checkpoint(found.last_checkpoint)
