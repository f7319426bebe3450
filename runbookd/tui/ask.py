"""Before asking for approval: what the approver will be asked to let run, whole."""

import time
from collections.abc import Iterator, Sequence

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen

from runbookd.session.state import CellState, SessionState
from runbookd.tui.code import coloured_code
from runbookd.tui.dialogs import Now, plain
from runbookd.tui.fresh import FreshKey
from runbookd.tui.lines import Lines
from runbookd.tui.notebook import Notebook, NotebookCell
from runbookd.tui.rows import CODE_MARGIN, Line, Row, joined, line
from runbookd.visible import one_line

ASK_KEY = "a"
_LABEL = 12


class Page(Lines):
    """Some lines to read and scroll in."""

    def __init__(self, lines: Sequence[Line], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lines = lines
        self._width = 0
        self._places: list[tuple[int, int]] = []

    def row_count(self, width: int) -> int:
        """How many rows the lines take."""
        if width != self._width:
            self._width = width
            self._places = [
                (at, part) for at, one in enumerate(self._lines) for part in range(one.count(width))
            ]
        return len(self._places)

    def row_at(self, y: int, width: int) -> Row:
        """One of those rows."""
        self.row_count(width)
        at, part = self._places[y]
        return self._lines[at].row(part, width)


class AskDialog(ModalScreen[bool]):
    """Shows a gated step and asks whether approval shall be asked for.

    Args:
        lines: what to show, see :func:`about_to_ask`.
        now: see :data:`~runbookd.tui.dialogs.Now`.
    """

    BINDINGS = [
        Binding("escape,n,q", "dismiss(False)", "Cancel"),
        Binding("down,j", "scroll('down')", "Down", show=False),
        Binding("up,k", "scroll('up')", "Up", show=False),
        Binding("pagedown,space", "scroll('page_down')", "Page down", show=False),
        Binding("pageup", "scroll('page_up')", "Page up", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[Line], *, now: Now = time.monotonic) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._now = now
        self._fresh = FreshKey()

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical(classes="box wide"):
            yield plain(f"Ask for approval of {self._title}?", classes="box-title")
            yield Page(self._lines, id="what")
            yield plain(f"Esc cancels   {ASK_KEY}: ask   ↑↓ PgUp PgDn scroll", classes="box-keys")

    def on_mount(self) -> None:
        """The key counts from now on."""
        self._fresh.ask(self._now())

    def action_scroll(self, how: str) -> None:
        """Scroll in what is shown."""
        getattr(self.query_one(Page), f"scroll_{how}")(animate=False)

    def on_key(self, event: events.Key) -> None:
        """The deciding key."""
        if event.key == ASK_KEY:
            event.stop()
            if self._fresh.press(self._now()):
                _ = self.dismiss(True)


def about_to_ask(
    state: SessionState, notebook: Notebook, cell: NotebookCell, step: CellState
) -> list[Line]:
    """Everything that is known of a gated step before its inputs are read."""
    return list(_lines(state, notebook, cell, step))


def _lines(
    state: SessionState, notebook: Notebook, cell: NotebookCell, step: CellState
) -> Iterator[Line]:
    opened = state.opened
    assert opened is not None
    old = state.request_of(cell.id)
    if old is not None:
        yield _fact("last time", f"request {old.digest[:8]} is {old.state}. {old.reason}", "warn")
    yield _fact("risk", step.plan.risk or "not said")
    if cell.inputs:
        yield _fact(
            "inputs",
            f"{', '.join(cell.inputs)}: read from the read-only kernel when you ask, then frozen",
        )
    else:
        yield _fact("inputs", "none")
    for name, value in opened.parameters.items():
        yield _fact("parameter", f"{one_line(name, 80)} = {one_line(value, 1_000)}")
    yield _fact("connectors", ", ".join(cell.connectors) or "none: it reaches nothing")
    if cell.outputs:
        yield _fact("hands back", ", ".join(cell.outputs))
    yield _fact("to undo it", _titled(state, step.plan.rollback) or "no rollback is named", "text")
    if step.plan.verify:
        yield _fact("to verify", _titled(state, step.plan.verify))
    if opened.drill:
        yield _fact("drill", "a rehearsal: nothing real is touched", "accent")
    yield line("")
    yield line("It runs once, in a fresh kernel, exactly this:", "dim")
    yield from coloured_code(
        cell.source.rstrip("\n"), notebook.language, lead=((CODE_MARGIN, "rule"),), fill="code"
    )


def _titled(state: SessionState, name: str | None) -> str:
    return one_line(state.cells[name].plan.title) if name in state.cells else one_line(name or "")


def _fact(label: str, text: str, tone: str = "text") -> Line:
    return joined((f"{label:<{_LABEL}} ", "dim"), (one_line(text, 2_000), tone), hang=_LABEL + 1)
