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

# Punctuation before and behind a word: acts nowhere by itself, so it may stay outside of code.
_BEFORE = "\"'(“‘"
_BEHIND = ",;:.?)\"'”’…"

_PLAIN = re.compile(
    r"[^\W\d_]+(?:['’-][^\W\d_]+)*"  # letters
    r"|[^\W_]+|[^\W\d_]+-\d+"  # p99, INC-17
    r"|\d+\.\d+|\d{1,2}(?::\d\d){1,2}|\d{4}-\d\d-\d\d"  # a number, a time, a date
    r"|[–—→·]"
)

_ACTIVE = re.compile(r"[0-9a-f]{7,}|www|gh-\d+", re.IGNORECASE)
"""Plain by its letters, but linked by some: a commit, a web address, an issue."""

_CUT = re.compile(r"\||\[(?=#)")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


class Md(str):
    """Text that is Markdown already and goes out as it is."""

    __slots__ = ()


def inline(text: str) -> Md:
    """``text`` on one line, for a paragraph, a list or a table's cell."""
    parts: list[str] = []
    code: list[str] = []  # neighbouring words that share a code span
    for word in visible(text).split():
        before, core, behind = _around(word)
        # A number with a point or a bracket behind it begins a list.
        lists = core.isdigit() and behind[:1] in {".", ")"}
        plain = _PLAIN.fullmatch(core) and not _ACTIVE.fullmatch(core) and not lists
        if code and (plain or before):
            parts.append(_joined(code))
        if plain:
            parts.append(word)
            continue
        code += [before, core] if not code else [core]
        if behind:
            parts.append(_joined(code) + behind)
    if code:
        parts.append(_joined(code))
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
    return Md("  \n".join(f"> {line}" for line in lines))


def fence(text: str, language: str = "text") -> Md:
    """``text`` as a block of code that nothing inside can close; colours are left out."""
    # Line by line, because a line of plain text needs no look at its characters.
    lines = map(visible, _COLOUR.sub("", text).removesuffix("\n").split("\n"))
    shown = "\n".join(lines)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    ticks = "`" * max(3, longest + 1)
    return Md(f"{ticks}{language}\n{shown}\n{ticks}")


def _around(word: str) -> tuple[str, str, str]:
    """A word without the punctuation around it, and that; all of it when there is nothing else."""
    tail = word.lstrip(_BEFORE)
    core = tail.rstrip(_BEHIND)
    if not core:
        return "", word, ""
    return word[: len(word) - len(tail)], core, tail[len(core) :]


def _joined(code: list[str]) -> str:
    """What stands before the first word, and the words in one code span; empties the list."""
    before, *words = code
    code.clear()
    return before + code_span(" ".join(words))


def _span(text: str) -> str:
    if not text:
        return ""
    if not text.strip():
        return " "
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"
