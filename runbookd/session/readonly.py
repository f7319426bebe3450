"""The read-only lane of a session: one kernel, kept, and started again when it died."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from runbookd.errors import KernelUnavailable, RecordUnwritable
from runbookd.events import (
    DAEMON,
    KernelDied,
    KernelEnded,
    KernelGoneData,
    KernelStarted,
    KernelStartedData,
)
from runbookd.session.journal import Journal
from runbookd.session.lanes import LaneKernel


class ReadOnlyLane:
    """Keeps the session's read-only kernel.

    Args:
        journal: where starts and deaths are recorded.
        start: makes a new kernel, parameters bound.
    """

    def __init__(self, journal: Journal, start: Callable[[], Awaitable[LaneKernel]]) -> None:
        self._journal = journal
        self._start = start
        self._kernel: LaneKernel | None = None
        self._starting = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._over = False

    async def kernel(self, tasks: asyncio.TaskGroup) -> LaneKernel:
        """The kernel, started if there is none.

        Raises:
            KernelUnavailable: it does not start, or :meth:`end` was called.
        """
        async with self._starting:
            if self._kernel is None:
                kernel = await self._start()
                started = KernelStartedData(
                    kernel=kernel.id,
                    lane="read-only",
                    kernelspec=kernel.kernelspec,
                    level=kernel.level,
                )
                try:
                    self._refuse_when_over()
                    await self._journal.append(KernelStarted(data=started))
                    self._refuse_when_over()
                except BaseException:
                    await kernel.end()
                    raise
                self._kernel = kernel
                self._watch = tasks.create_task(self._watch_over(kernel))
            return self._kernel

    def _refuse_when_over(self) -> None:
        """A kernel that was still starting when the lane was ended must not stay behind."""
        if self._over:
            raise KernelUnavailable("the session is ending")

    async def warm_up(self, tasks: asyncio.TaskGroup) -> None:
        """Start the kernel ahead of need; a failure shows when a cell needs it."""
        try:
            await self.kernel(tasks)
        except KernelUnavailable:
            return

    async def _watch_over(self, kernel: LaneKernel) -> None:
        why = await kernel.died()
        self._kernel = None
        await kernel.end()
        gone = KernelGoneData(kernel=kernel.id, lane="read-only", why=why)
        # Where even that cannot be recorded, nothing will run any more: the engine sees to it.
        with contextlib.suppress(RecordUnwritable):
            await self._journal.append(KernelDied(data=gone), actor=DAEMON)

    async def interrupt(self) -> None:
        """Interrupt what runs, if there is a kernel."""
        if self._kernel is not None:
            await self._kernel.interrupt()

    async def end(self) -> None:
        """End the kernel for good, and one that is starting as soon as it is there."""
        self._over = True
        kernel, self._kernel = self._kernel, None
        if self._watch is not None:
            self._watch.cancel()
        if kernel is not None:
            await kernel.end()
            if not self._journal.failed:
                gone = KernelGoneData(kernel=kernel.id, lane="read-only", why="session ended")
                await self._journal.append(KernelEnded(data=gone), actor=DAEMON)
