"""Makes any text inert in Markdown, whichever dialect and whatever is done to its result.

Escaping punctuation does not do: an entity or a backslash is resolved before GitHub, GitLab and
others look for mentions, issue numbers, commits and addresses to link. They all leave code alone.
So plain words stay as they are and every other word stands in a code span; what could act even
there (a pipe, which ends a table's cell, and a forged citation) is cut out of it as an entity.
Nothing is dropped and nothing invisible is added. Hidden characters are shown by
:func:`runbookd.visible.visible`.
"""

import re

from runbookd.visible import visible

_OPENING = "\"'(“‘"
_CLOSING = ",;:.?!)\"'”’…"
_PLAIN = re.compile(
    rf"[{_OPENING}]*"
    r"(?:[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\W_]+|\d+(?:\.\d+)?|\d{1,2}(?::\d\d){1,2})"
    rf"[{_CLOSING}]*|[–—→·]"
)
"""A word that no dialect acts on: letters and digits with punctuation around, or a number."""

_ACTIVE = re.compile(
    # The number of an ordered list, a commit, a web address' first part, a rule of a setext line.
    r"\d+[.)].*|[\"'(“‘]*[0-9a-fA-F]{7,}[,;:.?!)\"'”’…]*|[\"'(“‘]*www[,;:.?!)\"'”’…]*",
    re.IGNORECASE,
)

_CUT = re.compile(r"\||\[(?=#)")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


class Md(str):
    """Text that is Markdown already and goes out as it is."""

    __slots__ = ()


def inline(text: str) -> Md:
    """``text`` on one line, for a paragraph, a list or a table's cell."""
    parts: list[str] = []
    code: list[str] = []
    for word in visible(text).split():
        if _PLAIN.fullmatch(word) and not _ACTIVE.fullmatch(word):
            if code:
                parts.append(code_span(" ".join(code)))
                code = []
            parts.append(word)
        else:
            code.append(word)
    if code:
        parts.append(code_span(" ".join(code)))
    return Md(" ".join(parts))


def code_span(text: str) -> Md:
    """``text`` on one line as code."""
    pieces: list[str] = []
    end = 0
    flat = " ".join(visible(text).split())
    for cut in _CUT.finditer(flat):
        pieces += [_span(flat[end : cut.start()]), f"&#{ord(cut.group())};"]
        end = cut.end()
    pieces.append(_span(flat[end:]))
    return Md("".join(pieces))


def quote(text: str) -> Md:
    """``text`` as a quotation that keeps its lines."""
    lines = [inline(line) for line in visible(text).strip().split("\n")]
    # Two spaces at the end of a line are a line break in every dialect.
    return Md("\n".join(f"> {line}  " if line else ">" for line in lines) or ">")


def fence(text: str, language: str = "text") -> Md:
    """``text`` as a block of code that nothing inside can close; colours are left out."""
    # Line by line, because a line of plain text needs no look at its characters.
    lines = map(visible, _COLOUR.sub("", text).removesuffix("\n").split("\n"))
    shown = "\n".join(lines)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    ticks = "`" * max(3, longest + 1)
    return Md(f"{ticks}{language}\n{shown}\n{ticks}")


def _span(text: str) -> str:
    if not text:
        return ""
    if not text.strip():
        return " "
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"
