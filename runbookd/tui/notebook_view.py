"""The view of the notebook: where the reader is in it, and what of it is on the screen."""

from datetime import datetime

from textual import events
from textual.message import Message

from runbookd.tui.document import Document
from runbookd.tui.lines import Lines
from runbookd.tui.rows import BLANK, Row
from runbookd.tui.scenes import Stage
from runbookd.tui.story import Changes, Story

GUTTER = 2


class NotebookView(Lines):
    """All of the notebook, one item selected."""

    class Selected(Message):
        """The reader clicked on an item."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Moved(Message):
        """Other rows are visible than before."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._document: Document | None = None
        self._selected = ""

    @property
    def selected(self) -> str:
        """The key of the item where the reader is; "" while there is none."""
        return self._selected

    @property
    def wanted(self) -> set[str]:
        """Digests of the blobs that the visible rows would show."""
        if self._document is None:
            return set()
        return self._document.wanted(self.top, self.top + self.page)

    def show(self, story: Story, stage: Stage, now: datetime) -> None:
        """Show this session."""
        self._document = Document(stage)
        self._document.arrange(story.items(), now)
        self.relayout()
        self.refresh()

    def update(self, story: Story, changes: Changes, now: datetime) -> None:
        """Show what changed; what the reader looks at stays where it is, a growing end in view."""
        document = self._document
        if document is None:
            return
        anchor = document.at(self.top)
        before = document.span(anchor) if anchor else None
        own = document.span(self._selected)
        at_end = own is not None and self.top <= own[2] <= self.top + self.page + 1
        if changes.order:
            document.arrange(story.items(), now)
        else:
            document.change(changes.items, now)
        top = self.top
        after = document.span(anchor) if anchor else None
        if before and after and anchor != self._selected:
            top += after[0] - before[0]
        grown = document.span(self._selected)
        if own and grown and at_end and grown[2] - grown[0] > own[2] - own[0]:
            top = max(top, grown[2] - self.page)
        self.relayout()
        if top != self.top:
            self.scroll_to(y=top, animate=False, force=True)

    def select(self, key: str, *, at_end: bool = False) -> None:
        """Go to an item and bring it into view: all of it, else its head, or its end."""
        self._selected = key
        span = self._document.span(key) if self._document else None
        if span is None:
            return
        start, head, end = span
        if not (self.top <= head and end <= self.top + self.page):
            # Some of the prose before it, but never so much that the step itself is below.
            lead = head - start
            if end - start > self.page:
                lead = min(lead, max(0, self.page - (end - head)), self.page // 2)
            self.relayout()
            self.scroll_to(y=head - lead, animate=False, force=True)
            if at_end:
                self.show_end()
        self.refresh()

    def show_end(self) -> None:
        """Bring the end of the selected item into view, where its output will come."""
        span = self._document.span(self._selected) if self._document else None
        if span is not None and span[2] > self.top + self.page:
            self.relayout()
            self.scroll_to(y=span[2] - self.page, animate=False, force=True)

    def step(self, by: int) -> str:
        """The key of the item so many further; the first or last when there are no more."""
        keys = self._document.keys if self._document else []
        if not keys:
            return ""
        if self._selected not in keys:
            return keys[0]
        return keys[max(0, min(len(keys) - 1, keys.index(self._selected) + by))]

    def row_count(self, width: int) -> int:
        """How many rows the notebook takes."""
        return self._document.rows(max(1, width - GUTTER)) if self._document else 0

    def row_at(self, y: int, width: int) -> Row:
        """A row of the notebook with its gutter."""
        if self._document is None:
            return BLANK
        row, key = self._document.row(y, max(1, width - GUTTER))
        mark = "▎ " if key and key == self._selected else "  "
        return Row(((mark, "gutter"), *row.runs), row.fill)

    def on_resize(self) -> None:
        """Keep what was at the top at the top, however the rows break now."""
        document = self._document
        anchor = document.at(self.top) if document else None
        span = document.span(anchor) if document and anchor else None
        part = (self.top - span[0]) / max(1, span[2] - span[0]) if span else 0.0
        super().on_resize()
        span = document.span(anchor) if document and anchor else None
        if span:
            self.scroll_to(y=span[0] + round(part * (span[2] - span[0])), animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling may bring in what has to be loaded."""
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """A click selects the item under it."""
        found = self._document.at(self.top + event.y) if self._document else None
        if found:
            self.post_message(self.Selected(found))
