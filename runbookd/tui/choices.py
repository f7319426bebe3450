"""A list to move in: rows of which some can be chosen. Outline and home screen are made of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.message import Message

from runbookd.tui.lines import Lines
from runbookd.tui.rows import BLANK, Row, Run, spread


@dataclass(frozen=True, slots=True)
class Entry:
    """A row. Without a ``key`` it is a heading or an explanation and cannot be chosen."""

    left: tuple[Run, ...]
    right: tuple[Run, ...] = ()
    key: str | None = None


class Choices(Lines):
    """Entries, one of which has the cursor."""

    BINDINGS = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Page up", show=False),
        Binding("pagedown", "move(10)", "Page down", show=False),
        Binding("home", "move(-100000)", "First", show=False),
        Binding("end", "move(100000)", "Last", show=False),
    ]

    class Moved(Message):
        """The cursor went to another entry."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Chosen(Message):
        """An entry was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._entries: Sequence[Entry] = ()
        self._current: str | None = None

    @property
    def current(self) -> str | None:
        """The key of the entry with the cursor."""
        return self._current

    def show(self, entries: Sequence[Entry]) -> None:
        """Show these entries; the cursor stays where its key is."""
        self._entries = entries
        keys = self._keys()
        if self._current not in keys:
            self._current = keys[0] if keys else None
        self.relayout()

    def point_at(self, key: str) -> None:
        """Put the cursor on an entry and bring it into view."""
        self._current = key
        place = next((at for at, entry in enumerate(self._entries) if entry.key == key), None)
        if place is not None:
            if place < self.top:
                # The heading above the first entry comes into view with it.
                first = key == next(iter(self._keys()), None)
                self.scroll_to(y=0 if first else place, animate=False, force=True)
            elif place >= self.top + self.page:
                self.scroll_to(y=place - self.page + 1, animate=False, force=True)
        self.refresh()

    def action_move(self, by: int) -> None:
        """Move the cursor over entries that can be chosen."""
        keys = self._keys()
        if not keys:
            return
        at = keys.index(self._current) if self._current in keys else 0
        self.point_at(keys[max(0, min(len(keys) - 1, at + by))])
        if self._current is not None:
            self.post_message(self.Moved(self._current))

    def row_count(self, width: int) -> int:
        """One row an entry."""
        return len(self._entries)

    def row_at(self, y: int, width: int) -> Row:
        """The row of an entry."""
        if y >= len(self._entries):
            return BLANK
        entry = self._entries[y]
        here = entry.key is not None and entry.key == self._current
        bar: tuple[Run, ...] = (("▎" if here else " ", "gutter"),)
        runs = spread(entry.left, entry.right, max(1, width - 2)) if entry.left else ()
        return Row((*bar, *runs), "cursor" if here else None)

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there; on the home screen it also chooses."""
        place = self.top + event.y
        key = self._entries[place].key if 0 <= place < len(self._entries) else None
        if key is not None:
            self.point_at(key)
            self.post_message(self.Moved(key))
            self.post_message(self.Chosen(key))

    def _keys(self) -> list[str]:
        return [entry.key for entry in self._entries if entry.key is not None]
