"""The documentation as data: its pages, their fenced blocks, links, tables and generated parts.

A block marked ``sh`` is run, in the order of the page, in one shell; any other block (``text``,
``yaml``, ``ini``, ...) is not. A generated part stands between ``<!-- generated: NAME -->`` and
``<!-- end -->``; ``python -m tests.docs.generated`` writes them anew.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_PART = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_SEPARATOR = re.compile(r"\|(?:\s*:?-+:?\s*\|)+")


@dataclass(frozen=True)
class Block:
    """A fenced block. ``line`` is where its fence opens, counted from 1."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def only_makes(self) -> bool:
        """It does nothing but call ``make``, which opens a terminal or runs these very tests."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        return bool(lines) and all(line.startswith("make ") for line in lines)


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of ``page`` in ``language``, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in _FENCE.finditer(text)
        if found[1] == language
    ]


def links(page: Path) -> list[str]:
    """Where the links and pictures of ``page`` lead, fenced blocks left out."""
    return _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


def first_column(page: Path, heading: str) -> list[str]:
    """The words in backticks in the first column of the first table below ``heading``."""
    text = page.read_text(encoding="utf-8")
    _, found, below = text.partition(f"\n{heading}\n")
    assert found, f"{page.name} has no heading {heading!r}"
    rows: list[str] = []
    for line in below.splitlines():
        if line.startswith("|"):
            rows.append(line)
        elif rows:
            break
    assert len(rows) > 2, f"no table below {heading!r}"
    assert _SEPARATOR.fullmatch(rows[1]), f"no table below {heading!r}"
    return [word for row in rows[2:] for word in re.findall(r"`([^`]+)`", row.split("|")[1])]


def generated_parts(page: Path) -> dict[str, str]:
    """The generated parts of ``page``, by name."""
    return {found[2]: found[3] for found in _PART.finditer(page.read_text(encoding="utf-8"))}


def with_parts(text: str, parts: dict[str, str]) -> str:
    """``text`` with its generated parts replaced by those of ``parts``."""
    return _PART.sub(lambda found: f"{found[1]}{parts[found[2]]}{found[4]}", text)
