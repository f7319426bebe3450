"""The screens over a played daemon."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from runbookd.tui.app import RunbookdApp
from runbookd.tui.walk import WalkScreen
from tests.tui.fake import FakeDaemon, StillClock
from tests.tui.script import SESSION


class Walk:
    """A session on the screen, and the hands that drive it."""

    def __init__(
        self, app: RunbookdApp, pilot: Pilot[None], daemon: FakeDaemon, clock: StillClock
    ) -> None:
        self.app = app
        self.pilot = pilot
        self.daemon = daemon
        self.clock = clock

    @property
    def screen(self) -> WalkScreen:
        """The walk, whatever dialog is over it."""
        return next(s for s in self.app.screen_stack if isinstance(s, WalkScreen))

    async def press(self, *keys: str, after: float = 1.0) -> None:
        """Keys, each so many seconds after what was before it."""
        for key in keys:
            self.clock.monotonic += after
            await self.pilot.press(key)
            await self.settle()

    async def write(self, text: str) -> None:
        """Type a text."""
        await self.pilot.press(*("space" if char == " " else char for char in text))

    async def settle(self) -> None:
        """Let everything that was set off come to rest."""
        await self.pilot.pause()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that comes over the event stream."""
        async with asyncio.timeout(5):
            while not holds():
                await self.pilot.pause(0.01)
        await self.settle()

    async def caught_up(self) -> None:
        """Wait until the screen has read all that the script holds."""
        await self.daemon.tell()
        await self.until(lambda: self.screen.seq == len(self.daemon.script.lines))

    async def go(self, key: str) -> None:
        """Stand at an item."""
        self.screen.select(key)
        await self.settle()

    def rows(self) -> list[str]:
        """What is on the screen, row by row."""
        return rows(self.app)

    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(self.rows())

    def notices(self) -> str:
        """What was said in the corner."""
        return "\n".join(notice.message for notice in self.app._notifications)


def rows(app: RunbookdApp) -> list[str]:
    """What an app draws, row by row."""
    return ["".join(segment.text for segment in strip) for strip in strips(app)]


def strips(app: RunbookdApp) -> list[Any]:
    """The strips that an app draws, as they go to the terminal's driver."""
    return list(app.screen._compositor.render_strips(app.size))


Open = Callable[..., AbstractAsyncContextManager[Walk]]


@pytest.fixture
def walking() -> Open:
    """Opens a session on a screen of 80x24: ``async with walking(daemon) as walk``."""

    @asynccontextmanager
    async def opened(
        daemon: FakeDaemon, size: tuple[int, int] = (80, 24), **options: Any
    ) -> AsyncIterator[Walk]:
        clock = StillClock(daemon.script.now)
        app = RunbookdApp(daemon, start=SESSION, clock=clock, now=clock.seconds, **options)
        async with app.run_test(size=size, notifications=True) as pilot:
            walk = Walk(app, pilot, daemon, clock)
            await walk.until(
                lambda: (
                    any(isinstance(s, WalkScreen) for s in app.screen_stack)
                    and walk.screen.seq == len(daemon.script.lines)
                )
            )
            yield walk

    return opened
