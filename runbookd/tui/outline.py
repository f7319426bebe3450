"""The outline: every step with its mark and the word for it, and the ad-hoc runs between."""

from runbookd.tui.choices import Entry
from runbookd.tui.marks import Mark, mark_of, mark_of_run
from runbookd.tui.rows import clip
from runbookd.tui.story import Item, Story
from runbookd.visible import one_line

NARROW = 28
"""Columns of the outline on a narrow screen."""
WIDE = 38


def outline(items: list[Item], story: Story, columns: int) -> list[Entry]:
    """The entries of the outline on ``columns`` columns."""
    state = story.state
    steps = list(state.cells.values())
    through = sum(cell.mark in {"done", "skipped"} for cell in steps)
    found = [Entry((("Steps", "heading"),), ((f"{through}/{len(steps)}", "dim"),))]
    for item in items:
        if item.kind == "step":
            cell = state.cells[item.key]
            found.append(_entry(item.key, mark_of(cell), cell.plan.title, columns))
        elif item.kind == "adhoc":
            run = story.run_of(item.key)
            mark = mark_of_run(run.status if run else None)
            source = one_line(run.source or "", 60) if run else ""
            found.append(_entry(item.key, mark, f": {source}", columns))
    return found


def _entry(key: str, mark: Mark, title: str, columns: int) -> Entry:
    room = max(6, columns - 4 - 2 - len(mark.word) - 1)
    return Entry(
        ((f"{mark.symbol} ", mark.tone), (clip(one_line(title), room), "text")),
        ((mark.word, mark.tone),),
        key,
    )
