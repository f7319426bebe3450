"""Titles for cells that have none of their own: the headings of the notebook's text."""

import re

from runbookd.visible import one_line

_TITLE_LENGTH = 120
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ATX = re.compile(r" {0,3}#{1,6}(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")


def headings(markdown: str) -> tuple[str, ...]:
    """The headings of a Markdown text, in order (CommonMark 0.31, sections 4.2, 4.3 and 4.5)."""
    found: list[str] = []
    fence = ""
    before = ""
    for line in markdown.splitlines():
        opened = _FENCE.fullmatch(line)
        if fence:
            # Closed by a fence at least as long, with nothing behind it.
            if opened and opened[1].startswith(fence) and not opened[2].strip():
                fence = ""
            continue
        if opened and not (opened[1][0] == "`" and "`" in opened[2]):
            fence, before = opened[1], ""
        elif atx := _ATX.fullmatch(line):
            found.append(atx[1] or "")
            before = ""
        elif before and _UNDERLINE.fullmatch(line):
            found.append(before)
            before = ""
        else:
            starts_block = re.match(r" {4}|\t|\s*([-*+>|]|\d+[.)])(\s|$)", line)
            before = "" if starts_block else line.strip()
    return tuple(title for each in found if (title := as_title(each)))


def first_line(source: str) -> str:
    """The first line of a source that says something, as a title."""
    return next((as_title(line) for line in source.splitlines() if line.strip()), "")


def as_title(text: str) -> str:
    """One visible line of moderate length."""
    return one_line(text.strip(), _TITLE_LENGTH)
