"""The rows around the view: the status line, the banner and the hint."""

from collections.abc import Sequence

from runbookd.api import Health
from runbookd.session.state import SessionState
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
    return ("lane UNENFORCED", "bad") if level == "none" else (f"lane {level}", "good")


def slack(health: Health | None) -> Run:
    """Whether Slack can be used now."""
    found = next((c for c in health.channels if c.name == "slack"), None) if health else None
    if found is None or found.state == "off":
        return ("Slack off", "dim")
    if found.state == "connected":
        return ("Slack ok", "good")
    since = f" since {one_line(found.since, 40)[11:16]}" if found.state == "away" else ""
    return (f"Slack {found.state}{since}", "warn")
