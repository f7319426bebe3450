"""The rows around the view: the status line, the banner and the hint."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from textual import events
from textual.message import Message

from runbookd.api import Health
from runbookd.session.state import SessionState
from runbookd.tui.actions import Action
from runbookd.tui.lines import Lines
from runbookd.tui.rows import BLANK, Row, Run, spread
from runbookd.visible import one_line


class Bar(Lines, can_focus=False):
    """One row with something at each end."""

    DEFAULT_CSS = """
    Bar {
        height: 1;
        overflow: hidden hidden;
        scrollbar-gutter: auto;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._row: tuple[Sequence[Run], Sequence[Run]] = ((), ())

    def say(self, left: Sequence[Run], right: Sequence[Run] = ()) -> None:
        """Show this."""
        if (left, right) != self._row:
            self._row = (left, right)
            self.refresh()

    def row_count(self, width: int) -> int:
        """Always one."""
        return 1

    def row_at(self, y: int, width: int) -> Row:
        """The row."""
        left, right = self._row
        return Row(((" ", "text"), *spread(left, right, max(1, width - 2)))) if left else BLANK


class KeyBar(Bar):
    """The keys that make sense now. A click on one does what the key does.

    Textual's own footer makes a widget a key, and all of them anew whenever one changes, which is
    felt at every step; this is one row.
    """

    class Clicked(Message):
        """Somebody clicked on an action."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._places: list[tuple[int, int, str]] = []

    def offer(self, actions: Iterable[Action]) -> None:
        """Show these."""
        runs: list[Run] = []
        self._places = []
        at = 1
        for action in actions:
            if runs:
                runs.append(("  ", "text"))
                at += 2
            end = at + cell_len(action.shown) + 1 + cell_len(action.label)
            self._places.append((at, end, action.name))
            runs += [(action.shown, "key"), (f" {action.label}", "dim")]
            at = end
        self.say(tuple(runs))

    def on_click(self, event: events.Click) -> None:
        """Find what was clicked on."""
        for start, end, name in self._places:
            if start <= event.x < end:
                self.post_message(self.Clicked(name))


def status(
    state: SessionState, health: Health | None, *, connected: bool
) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """The status line: what this is on the left, how things are on the right."""
    opened = state.opened
    if opened is None:
        return (("runbookd", "title"),), ()
    left: list[Run] = []
    if opened.drill:
        left.append(("DRILL ", "accent"))
    if opened.incident:
        left.append((f"{one_line(opened.incident, 30)} ", "strong"))
    left.append((one_line(opened.runbook.title), "title"))
    right: list[Run] = []
    if opened.severity is not None:
        right.append((f"sev {opened.severity}", "strong"))
    right.append(_lane(state))
    right.append(slack(health) if connected else ("daemon lost", "bad"))
    if state.closed:
        right.append(("closed", "warn"))
    right.append((f"rec {state.seq}", "dim"))
    spaced: list[Run] = []
    for at, run in enumerate(right):
        spaced += [(" · ", "rule"), run] if at else [run]
    return tuple(left), tuple(spaced)


def _lane(state: SessionState) -> Run:
    assert state.opened is not None
    level = state.opened.sandbox.level
    if level != "none":
        return f"lane {level}", "good"
    return ("lane UNENFORCED", "bad") if state.opened.unenforced else ("no lane, all gated", "bad")


def slack(health: Health | None) -> Run:
    """Whether Slack can be used now."""
    found = next((c for c in health.channels if c.name == "slack"), None) if health else None
    if found is None or found.state == "off":
        return ("Slack off", "dim")
    if found.state == "connected":
        return ("Slack ok", "good")
    since = f" since {one_line(found.since, 40)[11:16]}" if found.state == "away" else ""
    return (f"Slack {found.state}{since}", "warn")
