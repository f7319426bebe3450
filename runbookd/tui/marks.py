"""How the state of a step is said: a symbol, a word and, third, a colour."""

from dataclasses import dataclass
from typing import Literal, assert_never

from runbookd.session.state import CellMark, CellState

Shown = CellMark | Literal["gated", "manual"]
"""What the screens say: ``todo`` splits into what kind of step it is."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The look of a state."""

    symbol: str
    word: str
    tone: str


MARKS: dict[Shown, Mark] = {
    "todo": Mark("○", "todo", "dim"),
    "gated": Mark("□", "gated", "accent"),
    "manual": Mark("△", "manual", "info"),
    "running": Mark("◐", "running", "info"),
    "waiting": Mark("◇", "waiting", "warn"),
    "approved": Mark("◆", "approved", "accent"),
    "done": Mark("✓", "done", "good"),
    "failed": Mark("✗", "failed", "bad"),
    "denied": Mark("⊘", "denied", "bad"),
    "expired": Mark("◌", "expired", "warn"),
    "skipped": Mark("»", "skipped", "dim"),
    "unknown": Mark("?", "unknown", "bad"),
}

WORD_WIDTH = max(len(mark.word) for mark in MARKS.values())


def mark_of(cell: CellState) -> Mark:
    """The mark of a step."""
    if cell.mark != "todo":
        return MARKS[cell.mark]
    match cell.plan.mode:
        case "read-only":
            return MARKS["todo"]
        case "gated":
            return MARKS["gated"]
        case "manual":
            return MARKS["manual"]
        case _:
            assert_never(cell.plan.mode)


def mark_of_run(status: str | None) -> Mark:
    """The mark of an ad-hoc execution."""
    if status is None:
        return MARKS["running"]
    if status == "ok":
        return MARKS["done"]
    return MARKS["unknown" if status == "unknown" else "failed"]
