"""The terminal application: which screen comes when. Everything else is in the screens."""

import time
from collections.abc import Iterable

from textual import on, work
from textual.app import App, SystemCommand
from textual.screen import Screen

from runbookd.api import OpenSession, RunbookInfo
from runbookd.clock import Clock, SystemClock
from runbookd.errors import RunbookdError
from runbookd.tui.dialogs import Now
from runbookd.tui.home import HomeScreen
from runbookd.tui.parameters import ParametersScreen, missing
from runbookd.tui.port import Daemon
from runbookd.tui.themes import DARK, LIGHT
from runbookd.tui.walk import WalkScreen
from runbookd.visible import visible


class RunbookdApp(App[None]):
    """The screens of runbookd.

    Args:
        daemon: a connected client.
        start: the id of a session to show at once.
        runbook: a runbook to open at once; what it still needs is asked for.
        observe: never offer to act in the session that is shown at once.
        drill_page: the address of the rehearsal's Slack, shown where a decision is awaited.
        clock: the time of day.
        now: seconds on a clock that never goes back, for how fresh a key is.
    """

    CSS_PATH = "styles.tcss"
    TITLE = "runbookd"
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        daemon: Daemon,
        *,
        start: str | None = None,
        runbook: OpenSession | None = None,
        observe: bool = False,
        drill_page: str | None = None,
        clock: Clock | None = None,
        now: Now = time.monotonic,
    ) -> None:
        super().__init__()
        self._daemon = daemon
        self._start = start
        self._runbook = runbook
        self._observe = observe
        self._drill_page = drill_page
        self._clock = clock or SystemClock()
        self._now = now
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of source code for themes that have none."""
        return DARK.variables

    def get_default_screen(self) -> Screen[None]:
        """Everything starts from home."""
        return HomeScreen(self._daemon, self._clock)

    def on_mount(self) -> None:
        """Go where the command line said."""
        if self._start is not None:
            self._show_session(self._start, observe=self._observe)
        elif self._runbook is not None:
            self._open_wanted(self._runbook)

    def _show_session(self, session: str, *, observe: bool = False) -> None:
        _ = self.push_screen(
            WalkScreen(
                self._daemon,
                session,
                self._clock,
                observe=observe,
                drill_page=self._drill_page,
                now=self._now,
            )
        )

    @on(HomeScreen.SessionPicked)
    def _session_picked(self, event: HomeScreen.SessionPicked) -> None:
        self._show_session(event.session)

    @on(HomeScreen.RunbookPicked)
    def _runbook_picked(self, event: HomeScreen.RunbookPicked) -> None:
        self._ask_and_open(event.info)

    @work(exclusive=True, group="open")
    async def _open_wanted(self, wanted: OpenSession) -> None:
        try:
            known = await self._daemon.runbooks()
        except RunbookdError as error:
            self._complain(error)
            return
        info = next((info for info in known if info.path == wanted.runbook), None)
        given: OpenSession | None = wanted
        if info is not None and not info.problem and missing(info, wanted):
            given = await self.push_screen_wait(ParametersScreen(info, wanted))
        if given is not None:
            await self._open(given)

    @work(exclusive=True, group="open")
    async def _ask_and_open(self, info: RunbookInfo) -> None:
        given = await self.push_screen_wait(ParametersScreen(info))
        if given is not None:
            await self._open(given)

    async def _open(self, wanted: OpenSession) -> None:
        try:
            session = await self._daemon.open(wanted)
        except RunbookdError as error:
            self._complain(error)
        else:
            self._show_session(session.id)

    def _complain(self, error: RunbookdError) -> None:
        self.notify(visible(str(error)), severity="error", timeout=10, markup=False)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the command palette offers."""
        if isinstance(screen, WalkScreen):
            yield from screen.palette()
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)
        yield SystemCommand("Leave", "Leave the screens; sessions go on", self.action_quit)
