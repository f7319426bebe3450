"""Writing the record: one writer a session, and nothing counts before it is on the disk.

Lines are sealed (redacted, numbered, chained) at once and in order, and wait in a queue. Of those
who wait for their lines, one at a time leads: it writes the whole queue with one write and one
fsync, in a thread, while new lines gather for the next. A failure is final: what follows on lines
that are not there cannot be recorded either.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.clock import Clock
from runbookd.errors import InputError, RecordUnwritable
from runbookd.events import DAEMON, Actor, CheckpointData, Checkpointed, Event, Recorded
from runbookd.record.blobs import BlobStore
from runbookd.record.chain import Chain
from runbookd.record.files import Files
from runbookd.record.logfile import AppendFailed, LogFile, create_log
from runbookd.record.note import NoteError, Signer
from runbookd.record.recovery import recover
from runbookd.record.redaction import Redactor
from runbookd.record.sealing import Sealer

_T = TypeVar("_T")


class RecordWriter:
    """The open record of a session.

    ``on_durable`` is called with the lines of each write once they are on the disk, in the order
    of the record, also when whoever appended them was cancelled meanwhile. It must not raise.

    Made by :meth:`create` or :meth:`open`, ended by :meth:`close`. Its methods are for one event
    loop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        file: LogFile,
        chain: Chain,
        last_checkpoint: str | None,
        signer: Signer,
        clock: Clock,
        redactor: Redactor,
        files: Files,
    ) -> None:
        self._file = file
        self._signer = signer
        self._sealer = Sealer(clock, redactor)
        self._durable = chain
        self._sealed = chain
        self._queue: list[tuple[Recorded, bytes]] = []
        self._queued_note: str | None = None
        self._last_checkpoint = last_checkpoint
        self._failure: AppendFailed | None = None
        self._closed = False
        self._turn = asyncio.Lock()
        # A thread of its own: the record never waits for whatever else uses threads.
        self._thread = ThreadPoolExecutor(1, "record")
        self.blobs = BlobStore(folder, files)
        self.on_durable: Callable[[Sequence[Recorded]], None] = lambda lines: None

    @classmethod
    async def create(
        cls,
        folder: Path,
        *,
        log: str,
        key: Ed25519PrivateKey,
        clock: Clock,
        redactor: Redactor,
        files: Files | None = None,
    ) -> "RecordWriter":
        """Start a record.

        Args:
            folder: the session's folder, made when it is missing.
            log: the origin, ``<host>/runbookd/<session-id>``.
            key: the daemon's key.
            clock: where the lines' times come from.
            redactor: takes the secrets out of every line.
            files: the file operations; the system's own by default.

        Raises:
            InputError: ``log`` cannot name a log.
            RecordUnwritable: there is a record already, or the disk refuses.
        """
        files = files or Files()
        signer = _signer(key, log)
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(None, create_log, files, folder, signer.verifier.vkey)
        cancelled = await _finished(running)
        file = running.result()
        if cancelled:
            file.close()
            raise cancelled
        return cls(
            folder,
            file=file,
            chain=Chain.empty(log),
            last_checkpoint=None,
            signer=signer,
            clock=clock,
            redactor=redactor,
            files=files,
        )

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        key: Ed25519PrivateKey,
        clock: Clock,
        redactor: Redactor,
        files: Files | None = None,
    ) -> tuple["RecordWriter", list[Recorded], int]:
        """Go on with a record after a restart, once all of it was read and checked.

        A last line that was never finished is moved into ``torn-<seq>`` beside the record.

        Returns:
            The writer, the lines that are there, and how many bytes were set aside: when that is
            not 0 the caller records it (:class:`~runbookd.events.Recovered`).

        Raises:
            RecordError: there is no record, it is damaged, or it is another log's or key's.
            RecordUnwritable: another writer has it, or the disk refuses.
        """
        files = files or Files()
        running = asyncio.get_running_loop().run_in_executor(None, recover, files, folder, key)
        cancelled = await _finished(running)
        found = running.result()
        if cancelled:
            found.file.close()
            raise cancelled
        writer = cls(
            folder,
            file=found.file,
            chain=found.chain,
            last_checkpoint=found.last_checkpoint,
            signer=found.signer,
            clock=clock,
            redactor=redactor,
            files=files,
        )
        return writer, found.lines, found.torn_bytes

    @property
    def log(self) -> str:
        """The log's origin."""
        return self._signer.origin

    @property
    def vkey(self) -> str:
        """The verifier key, for the first line."""
        return self._signer.verifier.vkey

    @property
    def size(self) -> int:
        """How many lines are durable."""
        return self._durable.size

    @property
    def root(self) -> str:
        """The RFC 6962 root over the durable lines, as 64 hex digits."""
        return self._durable.tree.root().hex()

    @property
    def failed(self) -> bool:
        """Whether the record can no longer be extended, so that nothing may run."""
        return self._failure is not None

    @property
    def last_checkpoint(self) -> str | None:
        """The latest durable signed note."""
        return self._last_checkpoint

    async def append(self, *events: Event, actor: Actor) -> list[Recorded]:
        """Record ``events``, one behind the other, and return the lines as they are stored.

        They are on the disk when this returns. A cancellation waits until that is settled, so a
        cancelled append has recorded its lines, unless the record failed.

        Raises:
            InputError: an event cannot be written as canonical JSON, or is longer than a line may
                be. None of the events was recorded; the record goes on.
            RecordUnwritable: the record has failed or was closed. None of the events counts.
        """
        self._check()
        if not events:
            return []
        lines = self._seal(events, actor)
        await self._commit(lines[-1].seq + 1)
        return lines

    async def checkpoint(self) -> Recorded:
        """Sign everything so far: append a ``checkpoint`` line, replace the ``checkpoint`` file.

        Returns:
            The line, whose ``event.data.note`` is the signed note (:attr:`last_checkpoint`).

        Raises:
            RecordUnwritable: as for :meth:`append`, and when the file cannot be replaced.
        """
        self._check()
        line = self._seal_checkpoint()
        await self._commit(line.seq + 1)
        self._check()
        return line

    async def last_words(self, *events: Event, actor: Actor) -> list[Recorded]:
        """Once the disk was full: spend the reserve on ``events`` and a checkpoint.

        The record stays failed. Works once, and only where the record is known to be whole.

        Raises:
            RecordUnwritable: there was no such failure, or the reserve was not enough either.
        """
        if self._closed or self._failure is None or not self._failure.spare:
            raise self._unwritable()
        self._failure.spare = False
        self._sealed = self._durable
        self._queue, self._queued_note = [], None
        lines = self._seal(events, actor) if events else []
        lines.append(self._seal_checkpoint())
        async with self._turn:
            await self._write_queue(self._file.extend_from_reserve)
        self._failure.spare = False
        if self.size <= lines[-1].seq:
            raise self._unwritable()
        return lines

    async def close(self) -> None:
        """Let go of the file, once whatever is being written is written."""
        async with self._turn:
            if self._closed:
                return
            if self._queue and self._failure is None:
                await self._write_queue(self._file.extend)
            self._closed = True
            self._file.close()
        self._thread.shutdown()

    def _seal(self, events: Sequence[Event], actor: Actor) -> list[Recorded]:
        """Turn events into the next lines and queue them. All or none."""
        self._sealed, lines = self._sealer.seal(self._sealed, events, actor)
        self._queue += lines
        return [line for line, _ in lines]

    def _seal_checkpoint(self) -> Recorded:
        note = self._signer.checkpoint(self._sealed.size, self._sealed.tree.root())
        [line] = self._seal([Checkpointed(data=CheckpointData(note=note))], DAEMON)
        self._queued_note = note
        return line

    async def _commit(self, size: int) -> None:
        """Return when the record has at least ``size`` durable lines."""
        cancelled: asyncio.CancelledError | None = None
        while self.size < size and self._failure is None:
            try:
                async with self._turn:
                    # Another may have written our lines while we waited for our turn.
                    if self.size < size and self._failure is None:
                        await self._write_queue(self._file.extend)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled:
            raise cancelled
        if self.size < size:
            raise self._unwritable()

    async def _write_queue(self, extend: Callable[[bytes], None]) -> None:
        """Write everything that waits; the caller has the turn. Failures are kept, not raised.

        The thread cannot be stopped, so a cancellation comes through only when it is done.
        """
        lines, note, reached = self._queue, self._queued_note, self._sealed
        data = b"".join(raw for _, raw in lines)
        self._queue, self._queued_note = [], None
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._thread, self._write, extend, data, note)
        cancelled = await _finished(running)
        unexpected = running.exception()
        if unexpected is not None:
            self._failure = AppendFailed(repr(unexpected), spare=False)
        else:
            extended, failure = running.result()
            self._failure = failure or self._failure
            if extended:
                self._durable = reached
                self._last_checkpoint = note or self._last_checkpoint
                self.on_durable([line for line, _ in lines])
        if cancelled:
            raise cancelled

    def _write(
        self, extend: Callable[[bytes], None], data: bytes, note: str | None
    ) -> tuple[bool, AppendFailed | None]:
        """In the thread: whether the lines are durable, and what went wrong."""
        try:
            extend(data)
        except AppendFailed as failure:
            return False, failure
        try:
            if note is not None:
                self._file.write_checkpoint(note)
        except AppendFailed as failure:
            return True, failure
        return True, None

    def _check(self) -> None:
        if self._closed or self._failure is not None:
            raise self._unwritable()

    def _unwritable(self) -> RecordUnwritable:
        if self._failure is not None:
            return RecordUnwritable(
                f"the record of {self.log} cannot be extended: {self._failure.reason}",
                "free or replace the disk and open the session again; nothing runs until then",
            )
        return RecordUnwritable(f"the record of {self.log} is not open for this")


async def _finished(running: asyncio.Future[_T]) -> asyncio.CancelledError | None:
    """Wait until a thread is done, come what may; returns the cancellation that came meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


def _signer(key: Ed25519PrivateKey, log: str) -> Signer:
    try:
        return Signer(key, log)
    except NoteError as error:
        raise InputError(str(error), "use <host>/runbookd/<session-id>") from None
