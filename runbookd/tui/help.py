"""All keys, from the table of actions."""

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen

from runbookd.tui.actions import HOME, WALK, Action
from runbookd.tui.ask import Page
from runbookd.tui.dialogs import plain
from runbookd.tui.marks import MARKS, WORD_WIDTH
from runbookd.tui.rows import Line, joined, line

_WRITING = (
    ("Ctrl+R, F5", "Send what was written in a note or an ad-hoc cell"),
    ("Esc", "Cancel any question; a draft is kept"),
    ("Ctrl+P", "Command palette: all of this by name, and themes"),
)
_MEANING = {
    "todo": "to be run, read-only", "gated": "needs an approval first",
    "manual": "a person does it and ticks it off", "waiting": "asked for, not decided yet",
    "approved": "may be run once, with x", "unknown": "a crash hid the outcome: look first",
    "expired": "nobody decided in time", "denied": "an approver said no",
}  # fmt: skip


class HelpScreen(ModalScreen[None]):
    """The help screen."""

    BINDINGS = [
        Binding("escape,q,question_mark", "dismiss", "Close"),
        Binding("down,j", "scroll('down')", "Down", show=False),
        Binding("up,k", "scroll('up')", "Up", show=False),
        Binding("pagedown,space", "scroll('page_down')", "Page down", show=False),
        Binding("pageup", "scroll('page_up')", "Page up", show=False),
    ]

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical(classes="box wide"):
            yield plain("Keys", classes="box-title")
            yield Page(list(help_lines((*WALK, *HOME))), id="what")
            yield plain("Esc closes   ↑↓ PgUp PgDn scroll", classes="box-keys")

    def action_scroll(self, how: str) -> None:
        """Scroll in what is shown."""
        getattr(self.query_one(Page), f"scroll_{how}")(animate=False)


def help_lines(actions: tuple[Action, ...]) -> Iterator[Line]:
    """The table as lines."""
    group = ""
    for action in actions:
        if action.group != group:
            if group:
                yield line("")
            group = action.group
            yield line(group, "heading")
        yield _row(action.shown, action.help)
    yield line("")
    yield line("While writing, and everywhere", "heading")
    for keys, text in _WRITING:
        yield _row(keys, text)
    yield line("")
    yield line("Marks", "heading")
    for name, mark in MARKS.items():
        meaning = _MEANING.get(name, "")
        yield joined(
            (f"  {mark.symbol} {mark.word:<{WORD_WIDTH}}  ", mark.tone), (meaning, "text"), hang=14
        )


def _row(keys: str, text: str) -> Line:
    return joined((f"  {keys:<11} ", "info"), (text, "text"), hang=14)
