"""How the lines of a record hang together: each names the leaf hash of the one before.

The writer seals new lines with a chain, the reader walks the same chain over what it finds.
"""

from dataclasses import dataclass
from typing import Literal

from runbookd.events import Recorded
from runbookd.record.tree import Tree, leaf_hash

NO_LINE = "0" * 64
"""The ``prev`` of the first line."""

Break = Literal["wrong-log", "wrong-seq", "wrong-prev"]
"""How a line can fail to follow the one before."""

BREAKS: dict[Break, str] = {
    "wrong-log": "the line belongs to another log",
    "wrong-seq": "the line's number is not its place: a line was added, removed or moved",
    "wrong-prev": "the line does not follow the one before it: that one was changed or replaced",
}


@dataclass(slots=True)
class Chain:
    """The state of a log after some lines: enough to add or to check the next one."""

    log: str
    prev: str
    tree: Tree

    @classmethod
    def empty(cls, log: str) -> "Chain":
        """The chain of a log without lines."""
        return cls(log, NO_LINE, Tree())

    @property
    def size(self) -> int:
        """How many lines there are."""
        return self.tree.size

    def breaks(self, line: Recorded) -> list[Break]:
        """In which ways ``line`` does not follow."""
        found: list[Break] = []
        if line.log != self.log:
            found.append("wrong-log")
        if line.seq != self.size:
            found.append("wrong-seq")
        if line.prev != self.prev:
            found.append("wrong-prev")
        return found

    def add(self, raw: bytes) -> None:
        """Go on over a line's bytes (without line feed), whatever they are."""
        leaf = leaf_hash(raw)
        self.tree.append(leaf)
        self.prev = leaf.hex()

    def copy(self) -> "Chain":
        """The same chain, going on separately."""
        return Chain(self.log, self.prev, self.tree.copy())
