"""A session's record while it grows: append, fold, tell everyone who follows.

The only way to change a session is :meth:`Journal.append`. It returns when the lines are on disk
and the state has moved on; readers see lines in the order of the record and never one that is not
durable.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from runbookd.errors import CommandRefused, InputError
from runbookd.events import DAEMON, Actor, Checkpointed, Event, Recorded, SessionClosed
from runbookd.record.writer import RecordWriter
from runbookd.session.state import SessionState, fold

_READ_LINES = 500


class Journal:
    """The record and the state of one session.

    Args:
        writer: the record's writer; nobody else may append to it.
        file: ``record.jsonl``, for those who follow.
        state: the state after the lines that are there already.
    """

    def __init__(self, writer: RecordWriter, file: Path, state: SessionState | None = None) -> None:
        self._writer = writer
        self._file = file
        self._changed = asyncio.Event()
        self._ended = False
        self._closing = False
        self.state = state or SessionState()
        covered = -1 if self.state.checkpoint_seq is None else self.state.checkpoint_seq
        self._since_checkpoint = self.state.seq - 1 - covered
        # Not the answer of append: that one may be cancelled, and its lines are durable yet.
        writer.on_durable = self._take

    @property
    def failed(self) -> bool:
        """Whether the record is beyond repair for this process."""
        return self._writer.failed

    @property
    def root(self) -> str:
        """The Merkle root over the lines so far, hex."""
        return self._writer.root

    @property
    def since_checkpoint(self) -> int:
        """How many lines no checkpoint covers yet."""
        return self._since_checkpoint

    async def append(self, *events: Event, actor: Actor = DAEMON) -> list[Recorded]:
        """Record ``events`` together, durably, and fold them.

        Raises:
            CommandRefused: the session was closed, and nothing but a checkpoint follows that.
            InputError: an event is no line, such as a text that is far too long.
            RecordUnwritable: they are not in the record, so what they announce must not happen.
        """
        if self._closing:
            raise CommandRefused("the session is closed", "open a new one with `runbookd open`")
        self._closing = any(isinstance(event, SessionClosed) for event in events)
        try:
            return await self._writer.append(*events, actor=actor)
        except InputError:
            self._closing = False
            raise
        finally:
            # Also when the appender was cancelled, who is not told of the failure.
            if self.failed:
                self._wake()

    async def checkpoint(self) -> str:
        """Sign what is there; return the signed note. No new line when nothing was added."""
        if self._since_checkpoint or not self.state.checkpoint:
            try:
                await self._writer.checkpoint()
            finally:
                if self.failed:
                    self._wake()
        return self.state.checkpoint

    def _take(self, lines: Sequence[Recorded]) -> None:
        for line in lines:
            self.state = fold(self.state, line)
            if isinstance(line.event, Checkpointed):
                self._since_checkpoint = 0
            else:
                self._since_checkpoint += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def end(self) -> None:
        """Nothing more will come: let everyone who follows finish."""
        self._ended = True
        self._wake()

    async def changed(self, timeout_s: float | None = None) -> None:
        """Return when a line was added, the record failed or ended, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def follow(self, start: int = 0, *, live: bool = True) -> AsyncIterator[bytes]:
        """The record's lines from number ``start``, in pieces that end at the end of a line.

        With ``live`` it goes on until :meth:`end` was called or the record failed.
        """
        seq = 0
        with await asyncio.to_thread(self._file.open, "rb") as file:
            while True:
                changed = self._changed
                # Only as many lines as are durable: what stands behind them may be half a line.
                while count := min(self.state.seq - seq, _READ_LINES):
                    lines = await asyncio.to_thread(_read, file, count)
                    wanted = lines[max(0, start - seq) :]
                    seq += count
                    if wanted:
                        yield b"".join(wanted)
                if not live or self._ended or self.failed:
                    return
                await changed.wait()


def _read(file: BinaryIO, count: int) -> list[bytes]:
    return list(islice(file, count))
