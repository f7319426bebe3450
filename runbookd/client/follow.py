"""Follows a session's events and keeps its state, for whoever waits for something to happen."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from runbookd.client.client import DaemonClient
from runbookd.errors import DaemonUnavailable
from runbookd.events import Recorded
from runbookd.session.state import SessionState, fold

OnLine = Callable[[Recorded], None]


class Follower:
    """The state of a session as its events arrive."""

    def __init__(self) -> None:
        self.state = SessionState()
        self.ended = False
        self._changed = asyncio.Condition()

    async def until(
        self, holds: Callable[[SessionState], bool], timeout_s: float | None = None
    ) -> bool:
        """Wait until ``holds`` for the state; False when the time is over before.

        Raises:
            DaemonUnavailable: the stream ended first.
        """
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: holds(self.state) or self.ended)
        except TimeoutError:
            return False
        if not holds(self.state):
            raise DaemonUnavailable("the session's events ended", "run `runbookd attach`")
        return True

    async def feed(self, lines: AsyncGenerator[Recorded, None], on_line: OnLine) -> None:
        """Fold ``lines`` as they come, showing each to ``on_line`` first, and close them."""
        try:
            async with aclosing(lines):
                async for line in lines:
                    on_line(line)
                    async with self._changed:
                        self.state = fold(self.state, line)
                        self._changed.notify_all()
        finally:
            async with self._changed:
                self.ended = True
                self._changed.notify_all()


@asynccontextmanager
async def following(
    client: DaemonClient, session: str, on_line: OnLine = lambda _: None
) -> AsyncIterator[Follower]:
    """A :class:`Follower` of ``session`` that is fed while the block runs."""
    follower = Follower()
    try:
        async with asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(follower.feed(client.events(session), on_line))
            try:
                await follower.until(lambda state: state.seq > 0)
                yield follower
            finally:
                # A closed session's stream ends by itself; breaking it off is for the others.
                if not follower.state.closed:
                    feeding.cancel()
    except BaseExceptionGroup as group:
        # The stream's own error explains the block's; a single one needs no group.
        raise group.exceptions[0] from None
