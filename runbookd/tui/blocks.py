"""The parts of an item of the view: each knows how many rows it takes and makes any one of them."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

from rich.cells import cell_len

from runbookd.tui.outputs import Output
from runbookd.tui.rows import BLANK, Line, Row, Run, joined, spread


class Block(Protocol):
    """Some rows in an item."""

    def rows(self, width: int) -> int:
        """How many rows it takes on ``width`` columns."""
        ...

    def row(self, index: int, width: int) -> Row:
        """One of them, from 0."""
        ...


class TextBlock:
    """Lines that are there already.

    Args:
        plain: the lines, as they are counted.
        coloured: makes the same lines in colour when the first of them is drawn.
    """

    def __init__(
        self, plain: Sequence[Line], coloured: Callable[[], Sequence[Line]] | None = None
    ) -> None:
        self._lines = plain
        self._coloured = coloured
        self._width = 0
        self._starts: list[int] = []

    def rows(self, width: int) -> int:
        """How many rows it takes on ``width`` columns."""
        if width != self._width:
            self._width = width
            self._starts = list(accumulate((one.count(width) for one in self._lines), initial=0))
        return self._starts[-1]

    def row(self, index: int, width: int) -> Row:
        """One of them."""
        self.rows(width)
        if self._coloured is not None:
            self._lines, self._coloured = self._coloured(), None
        place = bisect_right(self._starts, index) - 1
        return self._lines[place].row(index - self._starts[place], width)


class HeadBlock:
    """A name and, at the right end or on a row of their own, some facts about it."""

    def __init__(self, name: tuple[Run, ...], facts: tuple[Run, ...]) -> None:
        self._name = name
        self._facts = facts
        self._line = joined(*name, hang=2)
        self._needed = cell_len("".join(text for text, _ in (*name, *facts))) + 2

    def rows(self, width: int) -> int:
        """One where all of it fits."""
        return 1 if self._needed <= width else self._line.count(width) + 1

    def row(self, index: int, width: int) -> Row:
        """One of them."""
        if self._needed <= width:
            return Row(spread(self._name, self._facts, width))
        if index < self._line.count(width):
            return self._line.row(index, width)
        return Row((("  ", "text"), *self._facts))


class OutputBlock:
    """The output of an execution, unfolded or not."""

    def __init__(self, output: Output, *, full: bool) -> None:
        self.output = output
        self._full = full

    def rows(self, width: int) -> int:
        """How many rows it takes on ``width`` columns."""
        return self.output.rows(width, full=self._full)

    def row(self, index: int, width: int) -> Row:
        """One of them."""
        return self.output.row(index, width, full=self._full)


class Gap:
    """Empty rows."""

    def __init__(self, count: int = 1) -> None:
        self._count = count

    def rows(self, width: int) -> int:
        """As many as it was made with."""
        return self._count

    def row(self, index: int, width: int) -> Row:
        """An empty row."""
        return BLANK
