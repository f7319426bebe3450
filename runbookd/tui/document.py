"""The whole notebook as one column of rows, of which only the visible ones are ever made.

Items are laid out one below the other; each keeps its height for the width in force, so that a
change in one item costs that item and a sum over all heights.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate

from runbookd.tui.blocks import OutputBlock
from runbookd.tui.rows import BLANK, Row
from runbookd.tui.scenes import Scene, Stage
from runbookd.tui.story import Item


class _Laid:
    """An item with its scene and the row at which each block starts."""

    def __init__(self, item: Item, scene: Scene, width: int) -> None:
        self.item = item
        self.scene = scene
        self.measure(width)

    def measure(self, width: int) -> None:
        self.starts = list(accumulate((b.rows(width) for b in self.scene.blocks), initial=0))

    @property
    def height(self) -> int:
        return self.starts[-1]

    @property
    def head(self) -> int:
        return self.starts[self.scene.head]

    def row(self, index: int, width: int) -> Row:
        place = bisect_right(self.starts, index) - 1
        if place >= len(self.scene.blocks):
            return BLANK
        return self.scene.blocks[place].row(index - self.starts[place], width)


class Document:
    """All items, in order.

    Args:
        stage: makes the scene of an item.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._laid: list[_Laid] = []
        self._places: dict[str, int] = {}
        self._starts: list[int] = [0]
        self._width = 80

    @property
    def keys(self) -> list[str]:
        """The items in order."""
        return list(self._places)

    def arrange(self, items: Iterable[Item], now: datetime) -> None:
        """Take these items, all made anew."""
        self._laid = [_Laid(item, self._stage.scene(item, now), self._width) for item in items]
        self._places = {laid.item.key: at for at, laid in enumerate(self._laid)}
        self._sum()

    def change(self, keys: Iterable[str], now: datetime) -> None:
        """Make these items anew."""
        for key in keys:
            place = self._places.get(key)
            if place is not None:
                item = self._laid[place].item
                self._laid[place] = _Laid(item, self._stage.scene(item, now), self._width)
        self._sum()

    def rows(self, width: int) -> int:
        """How many rows there are on ``width`` columns."""
        if width != self._width:
            self._width = width
            for laid in self._laid:
                laid.measure(width)
            self._sum()
        return self._starts[-1]

    def row(self, y: int, width: int) -> tuple[Row, str]:
        """The row ``y`` and the key of the item that it belongs to; "" for the prose before it."""
        self.rows(width)
        place = bisect_right(self._starts, y) - 1
        if place >= len(self._laid):
            return BLANK, ""
        laid = self._laid[place]
        index = y - self._starts[place]
        own = laid.head <= index < laid.height - 1
        return laid.row(index, width), laid.item.key if own else ""

    def span(self, key: str) -> tuple[int, int, int] | None:
        """The rows of an item: its first (prose), its head, and the one after its last."""
        place = self._places.get(key)
        if place is None:
            return None
        start = self._starts[place]
        laid = self._laid[place]
        return start, start + laid.head, start + laid.height

    def at(self, y: int) -> str | None:
        """The item at row ``y``, its prose included."""
        place = bisect_right(self._starts, y) - 1
        return self._laid[place].item.key if 0 <= place < len(self._laid) else None

    def wanted(self, first: int, last: int) -> set[str]:
        """Digests of the blobs that the rows from ``first`` to ``last`` would show."""
        found: set[str] = set()
        for place, laid in enumerate(self._laid):
            if self._starts[place] > last or self._starts[place + 1] < first:
                continue
            for block in laid.scene.blocks:
                if isinstance(block, OutputBlock):
                    found.update(block.output.wanted)
        return found

    def _sum(self) -> None:
        self._starts = list(accumulate((laid.height for laid in self._laid), initial=0))
