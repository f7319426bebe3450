"""The first screen: runbooks, open sessions, and the approvals that somebody has to decide."""

from collections.abc import Iterator
from datetime import datetime

from textual import on, work
from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen

from runbookd.api import ApprovalInfo, Health, RunbookInfo, SessionInfo
from runbookd.clock import Clock
from runbookd.errors import RunbookdError
from runbookd.tui.actions import HOME, bindings
from runbookd.tui.advice import elapsed, remaining
from runbookd.tui.bars import Bar, KeyBar, slack
from runbookd.tui.choices import Choices, Entry
from runbookd.tui.help import HelpScreen
from runbookd.tui.port import Daemon
from runbookd.tui.rows import Run
from runbookd.visible import one_line

REFRESH_S = 3.0
CLOSED_SHOWN = 5


class HomeScreen(Screen[None]):
    """What there is to do.

    Args:
        daemon: where to ask.
        clock: for how long ago and how much longer.
    """

    BINDINGS = bindings(HOME, "home")

    class RunbookPicked(Message):
        """A runbook shall be opened."""

        def __init__(self, info: RunbookInfo) -> None:
            super().__init__()
            self.info = info

    class SessionPicked(Message):
        """A session shall be shown."""

        def __init__(self, session: str) -> None:
            super().__init__()
            self.session = session

    def __init__(self, daemon: Daemon, clock: Clock) -> None:
        super().__init__()
        self._daemon = daemon
        self._clock = clock
        self._health: Health | None = None
        self._runbooks: tuple[RunbookInfo, ...] = ()
        self._sessions: tuple[SessionInfo, ...] = ()
        self._approvals: tuple[ApprovalInfo, ...] = ()

    def compose(self) -> ComposeResult:
        """The rows."""
        yield Bar(id="status")
        yield Choices(id="choices")
        yield Bar(id="hint")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        """Look now and then."""
        self.query_one("#status", Bar).say((("runbookd", "title"),))
        self.query_one(Choices).show([Entry((("asking the daemon …", "dim"),))])
        self.query_one(Choices).focus()
        self.query_one(KeyBar).offer(HOME)
        self.set_interval(REFRESH_S, self.action_refresh)
        self.action_refresh()

    def on_screen_resume(self) -> None:
        """Somebody came back: what is shown may be old."""
        self.action_refresh()

    @work(exclusive=True, group="refresh")
    async def action_refresh(self) -> None:
        """Ask the daemon anew."""
        try:
            self._health = await self._daemon.health()
            self._runbooks = await self._daemon.runbooks()
            self._sessions = await self._daemon.sessions()
            self._approvals = await self._daemon.approvals()
        except RunbookdError as error:
            self.query_one("#hint", Bar).say(((one_line(str(error)), "bad"),))
            return
        self._show()

    def _show(self) -> None:
        health = self._health
        if health is not None:
            level = health.sandbox.level
            lane: Run = ("lane UNENFORCED", "bad") if level == "none" else (f"lane {level}", "good")
            self.query_one("#status", Bar).say(
                (("runbookd ", "title"), (one_line(health.person, 40), "text")),
                (lane, (" · ", "rule"), slack(health)),
            )
        self.query_one(Choices).show(list(self._entries(self._clock.now())))
        self._hint()

    def _entries(self, now: datetime) -> Iterator[Entry]:
        open_ones = [info for info in self._sessions if info.closed is None]
        closed = [info for info in self._sessions if info.closed is not None][:CLOSED_SHOWN]
        if self._approvals:
            yield _heading("Waiting for a decision")
            for asked in self._approvals:
                yield _approval(asked, now)
            yield Entry(())
        if open_ones:
            yield _heading("Open sessions")
            for info in open_ones:
                yield _session(info, now)
            yield Entry(())
        yield _heading("Runbooks")
        for runbook in self._runbooks:
            yield _runbook(runbook)
        if not self._runbooks:
            yield Entry((("  none here; RUNBOOKD_RUNBOOKS names the folder", "dim"),))
        if closed:
            yield Entry(())
            yield _heading("Closed sessions")
            for info in closed:
                yield _session(info, now)

    @on(Choices.Moved)
    def _hint(self) -> None:
        current = self.query_one(Choices).current or ""
        kind, _, name = current.partition(":")
        said = ""
        if kind == "runbook":
            found = next((r for r in self._runbooks if r.path == name), None)
            if found is not None:
                said = f"open '{one_line(found.title, 50)}'"
                if found.problem:
                    said = f"cannot be opened: {one_line(found.problem)}"
        elif kind == "session":
            said = f"go to session {one_line(name, 40)}"
        elif kind == "approval":
            said = "go to its session; `runbookd approve` decides"
        hint: tuple[Run, ...] = (("Enter  ", "accent"), (said, "text")) if said else ()
        self.query_one("#hint", Bar).say(hint)

    @on(KeyBar.Clicked)
    async def _key_clicked(self, event: KeyBar.Clicked) -> None:
        await self.run_action(event.action)

    def action_help(self) -> None:
        """All keys."""
        _ = self.app.push_screen(HelpScreen())

    def action_leave(self) -> None:
        """Leave the screens; sessions go on."""
        self.app.exit()

    @on(Choices.Chosen)
    def action_open(self) -> None:
        """Go where the cursor is."""
        kind, _, name = (self.query_one(Choices).current or "").partition(":")
        if kind == "runbook":
            found = next((r for r in self._runbooks if r.path == name), None)
            if found is not None and not found.problem:
                self.post_message(self.RunbookPicked(found))
        elif kind == "session":
            self.post_message(self.SessionPicked(name))
        elif kind == "approval":
            asked = next((a for a in self._approvals if a.id == name), None)
            if asked is not None:
                self.post_message(self.SessionPicked(asked.session))


def _heading(text: str) -> Entry:
    return Entry(((text, "heading"),))


def _runbook(info: RunbookInfo) -> Entry:
    left: tuple[Run, ...] = (("  ", "text"), (one_line(info.title or info.path), "text"))
    if info.problem:
        right: tuple[Run, ...] = (("cannot be opened", "bad"),)
    else:
        gated = info.cells.get("gated", 0)
        parts = [one_line(part, 30) for part in (info.service, info.environment) if part]
        parts.append(f"{sum(info.cells.values())} steps, {gated} gated")
        right = ((" · ".join(parts), "dim"),)
    return Entry(left, right, f"runbook:{info.path}")


def _session(info: SessionInfo, now: datetime) -> Entry:
    left: list[Run] = [("  ", "text")]
    if info.drill:
        left.append(("DRILL ", "accent"))
    if info.incident:
        left.append((f"{one_line(info.incident, 20)} ", "strong"))
    left.append((one_line(info.title), "text"))
    parts: list[Run] = []
    if info.problem:
        parts.append((one_line(info.problem, 40), "bad"))
    elif info.waiting:
        count = len(info.waiting)
        parts.append((f"{count} waiting", "warn"))
    if info.closed is None:
        parts.append((f"{one_line(info.driver or 'nobody', 20)} drives", "text"))
        parts.append((elapsed(info.opened, now), "dim"))
    else:
        parts.append((f"closed {info.closed[:10]}", "dim"))
    parts.append((f"{info.done}/{info.total}", "dim"))
    right: list[Run] = []
    for at, part in enumerate(parts):
        right += [(" · ", "rule"), part] if at else [part]
    return Entry(tuple(left), tuple(right), f"session:{info.id}")


def _approval(info: ApprovalInfo, now: datetime) -> Entry:
    return Entry(
        (("  ◇ ", "warn"), (f"{info.fingerprint} ", "strong"), (one_line(info.title), "text")),
        (
            (f"{one_line(info.requester, 20)} asks ", "text"),
            (one_line(", ".join(info.groups), 30), "text"),
            (f" · {remaining(info.expires_at, now)} left", "dim"),
        ),
        f"approval:{info.id}",
    )
