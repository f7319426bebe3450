"""Follows a session: its record in batches a screen keeps up with, across losses of the daemon."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from runbookd.errors import DaemonUnavailable, RunbookdError
from runbookd.events import Recorded
from runbookd.tui.port import Daemon

FRAME_S = 1 / 30
BATCH = 500
"""Lines taken in between two looks at the keyboard."""
WAITING = 5_000
"""Lines that may wait here; then the daemon has to."""
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0

Sleep = Callable[[float], Awaitable[None]]


class Reader(Protocol):
    """Who is told what comes."""

    @property
    def seq(self) -> int:
        """The number of the line that comes next."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the session has ended, so that no line can follow."""
        ...

    def take(self, lines: list[Recorded]) -> None:
        """The next lines."""
        ...

    def lost(self, why: str, delay_s: float) -> None:
        """The daemon went away; the next attempt is in ``delay_s`` seconds."""
        ...

    def back(self) -> None:
        """The daemon answers again."""
        ...


async def follow(
    daemon: Daemon, session: str, reader: Reader, *, sleep: Sleep = asyncio.sleep
) -> None:
    """Hand ``reader`` the record of ``session`` until it is closed.

    Raises:
        RunbookdError: anything but the loss of the daemon, such as a session that is not there.
    """
    delay = FIRST_DELAY_S
    while True:
        seen = reader.seq
        try:
            await _pump(daemon.events(session, reader.seq), reader)
            if reader.closed:
                return
            why = "the daemon ended the stream"
        except DaemonUnavailable as error:
            why = error.message
        if reader.seq > seen:
            delay = FIRST_DELAY_S
        while True:
            reader.lost(why, delay)
            await sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_S)
            try:
                await daemon.reconnect()
            except RunbookdError as error:
                why = error.message
            else:
                reader.back()
                break


async def _pump(lines: AsyncIterator[Recorded], reader: Reader) -> None:
    """Read as fast as lines come, hand them over once a frame."""
    arrived: list[Recorded] = []
    some, room = asyncio.Event(), asyncio.Event()

    def hand_over() -> None:
        batch = arrived[:BATCH]
        del arrived[:BATCH]
        reader.take(batch)
        room.set()

    async def show() -> None:
        while True:
            await some.wait()
            some.clear()
            while arrived:
                hand_over()
                await asyncio.sleep(0 if len(arrived) > BATCH else FRAME_S)

    gone: DaemonUnavailable | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            showing = tasks.create_task(show())
            try:
                async for line in lines:
                    arrived.append(line)
                    some.set()
                    if len(arrived) >= WAITING:
                        room.clear()
                        await room.wait()
            except DaemonUnavailable as error:
                gone = error
            finally:
                showing.cancel()
                close = getattr(lines, "aclose", None)
                if close is not None:
                    await close()
    except BaseExceptionGroup as group:
        # One of the two failed and the other one was ended for it: the failure says it all.
        raise group.exceptions[0] from None
    while arrived:
        hand_over()
    if gone is not None:
        raise gone
