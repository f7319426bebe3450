"""One session on the screen: what comes in, what is shown of it, and moving about in it.

What the keys *do* to a session is :mod:`runbookd.tui.walk`'s business.
"""

import asyncio
import time
from math import ceil

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen

from runbookd.api import Health
from runbookd.clock import Clock, rfc3339
from runbookd.errors import RunbookdError
from runbookd.events import Recorded
from runbookd.session.state import OPEN_REQUEST, CellMark, Request, SessionState
from runbookd.tui.actions import WALK
from runbookd.tui.advice import Advice, Seat, advise
from runbookd.tui.bars import Bar, KeyBar, status
from runbookd.tui.choices import Choices
from runbookd.tui.dialogs import Now
from runbookd.tui.follow import follow
from runbookd.tui.fresh import FreshKey
from runbookd.tui.notebook import Notebook, read_notebook
from runbookd.tui.notebook_view import NotebookView
from runbookd.tui.outline import NARROW, WIDE, outline
from runbookd.tui.port import Daemon
from runbookd.tui.scenes import Stage
from runbookd.tui.story import Changes, Item, Notice, Story
from runbookd.visible import visible

HEALTH_S = 5.0
_GATE_MARKS: frozenset[CellMark] = frozenset({"waiting", "approved", "denied", "expired"})
WIDE_FROM = 100
"""From so many columns on the outline is always there."""


class SessionScreen(Screen[None]):
    """One session.

    Args:
        daemon: where to ask and whom to tell.
        session: the session's id.
        clock: for countdowns.
        observe: watch only.
        drill_page: where the rehearsal's approvals are decided.
        now: see :data:`~runbookd.tui.dialogs.Now`.
    """

    def __init__(
        self,
        daemon: Daemon,
        session: str,
        clock: Clock,
        *,
        observe: bool = False,
        drill_page: str | None = None,
        now: Now = time.monotonic,
    ) -> None:
        super().__init__()
        self._daemon = daemon
        self.session = session
        self._clock = clock
        self._observe = observe
        self._now = now
        self._drill_page = drill_page
        self._seat = Seat("", observe)
        self._health: Health | None = None
        self._story = Story(Notebook())
        self._stage = Stage(self._story, drill_page)
        self._items: list[Item] = []
        self._since = ""
        self._connected = True
        self._lost = ""
        self._sending = 0
        self._await_seq = 0
        self._go_to_adhoc = False
        self._execute_key = FreshKey()
        self._approved: frozenset[str] = frozenset()
        self._outline_hidden = False

    # ---- what is there

    def compose(self) -> ComposeResult:
        """Status, banner, outline and notebook, hint, keys."""
        yield Bar(id="status")
        yield Bar(id="banner")
        with Horizontal():
            yield Choices(id="outline")
            yield NotebookView(id="notebook")
        yield Bar(id="hint")
        yield KeyBar(id="keys")

    @property
    def view(self) -> NotebookView:
        """The notebook."""
        return self.query_one("#notebook", NotebookView)

    @property
    def state(self) -> SessionState:
        """Where the session stands, as far as it was read."""
        return self._story.state

    @property
    def busy(self) -> bool:
        """Whether a command is on its way, or what came of it is not yet on the screen."""
        return self._sending > 0 or self.seq < self._await_seq

    @property
    def request(self) -> Request | None:
        """The latest request of the selected step."""
        key = self.view.selected
        return self.state.request_of(key) if key in self.state.cells else None

    @property
    def advice(self) -> Advice:
        """What Enter does now."""
        return advise(self.state, self.view.selected, self._seat, self._clock.now())

    def on_mount(self) -> None:
        """Begin to follow the session."""
        self._since = rfc3339(self._clock.now())
        self.query_one("#banner").display = False
        self.view.focus()
        self._frame()
        self.set_interval(1.0, self._tick)
        self._follow()

    def on_resize(self) -> None:
        """The outline is as wide as the screen allows."""
        wide = self.size.width >= WIDE_FROM
        pane = self.query_one("#outline", Choices)
        pane.display = wide or not self._outline_hidden
        pane.styles.width = WIDE if wide else NARROW
        self._show_outline()

    # ---- what comes in

    @work(group="follow")
    async def _follow(self) -> None:
        try:
            health = await self._daemon.health()
            notebook = read_notebook(await self._daemon.notebook(self.session))
            self._health = health
            self._seat = Seat(health.person, self._observe)
            self._story = Story(notebook)
            self._stage = Stage(self._story, self._drill_page)
            self._watch_health()
            await follow(self._daemon, self.session, self)
        except RunbookdError as error:
            self._fail(str(error))
        except ValueError:
            self._fail("the daemon sent what this version does not know; update this program")

    @work(group="health")
    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_S)
            if self._connected:
                try:
                    self._health = await self._daemon.health()
                except RunbookdError:
                    continue  # losing the daemon is the event stream's to tell
                self._frame()

    def _fail(self, why: str) -> None:
        self._connected = False
        self._lost = visible(why)
        self._frame()
        self.say(Notice(why, "error"))

    @property
    def seq(self) -> int:
        """The number of the line that comes next."""
        return self.state.seq

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self.state.closed

    def take(self, lines: list[Recorded]) -> None:
        """The next lines of the record; called at most once a frame."""
        changes = Changes()
        stood = self.state.cells.get(self.view.selected)
        before = stood.mark if stood else None
        for line in lines:
            self._story.feed(line, changes)
            # Notices of what happened before this screen was opened would be no news.
            if line.ts < self._since:
                changes.notices.clear()
        self._apply(changes, before)
        for notice in changes.notices[-3:]:
            self.say(notice)

    def _apply(self, changes: Changes, before: CellMark | None) -> None:
        now = self._clock.now()
        fresh = changes.order
        if fresh:
            self._items = self._story.items()
        if not self.view.selected and self._items:
            self.view.show(self._story, self._stage, now)
            self.select(self._story.standing or self._items[0].key)
        else:
            self.view.update(self._story, changes, now)
        if self._go_to_adhoc and self.state.running:
            key = self._story.item_of(self.state.running)
            if key.startswith("adhoc:"):
                self._go_to_adhoc = False
                self.select(key)
        self._show_gate(before)
        self._note_approvals()
        self._show_outline()
        self._frame()
        self._load_blobs()

    def _show_gate(self, before: CellMark | None) -> None:
        """When the gate of the selected step changed, the reader has to see it."""
        cell = self.state.cells.get(self.view.selected)
        if cell is not None and cell.mark != before and cell.mark in _GATE_MARKS:
            self.select(cell.plan.id)

    def _note_approvals(self) -> None:
        """The key that runs what was approved counts only some time after this can be seen."""
        requests = self.state.requests.values()
        approved = frozenset(asked.id for asked in requests if asked.state == "approved")
        if approved - self._approved:
            self.call_after_refresh(lambda: self._execute_key.ask(self._now()))
        self._approved = approved

    def lost(self, why: str, delay_s: float) -> None:
        """The daemon went away."""
        self._connected = False
        self._lost = f"daemon lost; trying again in {ceil(delay_s)} s ({visible(why)})"
        self._frame()

    def back(self) -> None:
        """The daemon is there again."""
        self._connected = True
        self._lost = ""
        self._await_seq = 0
        self._frame()
        self.say(Notice("the daemon is back"))

    def _tick(self) -> None:
        """Countdowns and running times."""
        state = self.state
        keys = {asked.cell for asked in state.requests.values() if asked.state in OPEN_REQUEST}
        if state.running:
            keys.add(self._story.item_of(state.running))
        if keys:
            self.view.update(self._story, Changes(items=keys), self._clock.now())
        self._frame()

    @on(NotebookView.Moved)
    def _load_blobs(self) -> None:
        wanted = self.view.wanted
        if wanted and self._connected:
            self._fetch(frozenset(wanted))

    @work(exclusive=True, group="blobs")
    async def _fetch(self, digests: frozenset[str]) -> None:
        for digest in digests:
            content, why = b"", ""
            try:
                content = await self._daemon.blob(self.session, digest)
            except RunbookdError as error:
                why = error.message
            changes = Changes(items=self._story.load(digest, content, why))
            self.view.update(self._story, changes, self._clock.now())

    # ---- what is shown around the notebook

    def _frame(self) -> None:
        """Status, banner, hint and the keys that make sense now."""
        if not self.is_attached:
            return
        state = self.state
        left, right = status(state, self._health, connected=self._connected)
        self.query_one("#status", Bar).say(left, right)
        banner = self._banner()
        bar = self.query_one("#banner", Bar)
        bar.display = bool(banner)
        bar.say(((banner, "strong"),))
        advice = self.advice
        if self.busy and self._connected:
            self.query_one("#hint", Bar).say((("… sent, waiting for the record", "dim"),))
        elif advice.text:
            self.query_one("#hint", Bar).say(
                ((f"{advice.key}  " if advice.key else "", "accent"), (advice.text, "text"))
            )
        self.query_one(KeyBar).offer(
            action for action in WALK if action.footer and self.check_action(action.name, ())
        )

    @on(KeyBar.Clicked)
    async def _key_clicked(self, event: KeyBar.Clicked) -> None:
        await self.run_action(event.action)

    def _banner(self) -> str:
        state = self.state
        if self._lost:
            return self._lost
        if state.opened is None:
            return ""
        parts = []
        if not self._seat.drives(state) and not state.closed:
            taking = "" if self._observe else "; D takes the seat (reason)"
            parts.append(f"observing; driver is {visible(state.driver or 'nobody')}{taking}")
        if state.opened.sandbox.level == "none":
            said = "read-only cells are NOT walled in" if state.opened.enforced else (
                "no sandbox is in force: every code cell needs an approval"
            )  # fmt: skip
            parts.append(said)
        return " · ".join(parts)

    def _show_outline(self) -> None:
        pane = self.query_one("#outline", Choices)
        columns = WIDE if self.size.width >= WIDE_FROM else NARROW
        pane.show(outline(self._items, self._story, columns))
        if self.view.selected:
            pane.point_at(self.view.selected)

    def say(self, notice: Notice) -> None:
        """A word to the reader, in a corner."""
        if notice.cell is None or notice.cell != self.view.selected:
            self.notify(visible(notice.text), severity=notice.severity, timeout=6, markup=False)
        if notice.bell:
            self.app.bell()

    # ---- moving

    def select(self, key: str) -> None:
        """Go to an item."""
        if key:
            cell = self.state.cells.get(key)
            self.view.select(key, at_end=cell is not None and cell.mark in {"failed", "running"})
            self.query_one("#outline", Choices).point_at(key)
            self._frame()
            self._load_blobs()

    @on(Choices.Moved)
    def _outline_moved(self, event: Choices.Moved) -> None:
        self.select(event.key)

    @on(NotebookView.Selected)
    def _clicked(self, event: NotebookView.Selected) -> None:
        self.select(event.key)

    def action_next_item(self) -> None:
        """The item below."""
        self.select(self.view.step(1))

    def action_previous_item(self) -> None:
        """The item above."""
        self.select(self.view.step(-1))

    def action_scroll(self, how: str) -> None:
        """Scroll the notebook."""
        getattr(self.view, f"scroll_{how}")(animate=False)

    def action_unfold(self) -> None:
        """Show all of a long output, or fold it."""
        key = self.view.selected
        self._stage.unfolded ^= {key}
        self.view.update(self._story, Changes(items={key}), self._clock.now())

    def action_outline(self) -> None:
        """Show or hide the outline where the screen is narrow."""
        self._outline_hidden = not self._outline_hidden
        self.on_resize()
        self.view.focus()

    def action_other_pane(self) -> None:
        """Between outline and notebook."""
        self.focus_next()
