"""Markdown as lines with light styling: headings, lists, emphasis, code; the words stay.

Only marks that people know the look of are taken away (``#``, ``**``, backticks around code).
Links keep their address, tables and HTML stay as written: nothing a runbook says is hidden.
"""

import re

from runbookd.tui.code import coloured_code
from runbookd.tui.rows import Line, Run, joined, line

_FENCE = re.compile(r"^(\s{0,3})(```+|~~~+)\s*([\w+-]*)")
_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_BULLET = re.compile(r"^(\s*)([-*+])\s+(\[[ xX]\]\s+)?(.*)$")
_NUMBER = re.compile(r"^(\s*)(\d{1,9}[.)])\s+(.*)$")
_QUOTE = re.compile(r"^\s{0,3}>\s?(.*)$")
_RULE = re.compile(r"^\s{0,3}([-*_])(\s*\1){2,}\s*$")
_UNDERLINE = re.compile(r"^\s{0,3}(=+|-+)\s*$")
_INLINE = re.compile(
    r"(?P<code>`+)(?P<code_text>.+?)(?P=code)"
    r"|\*\*(?P<bold>\S(?:.*?\S)?)\*\*"
    r"|__(?P<bold2>\S(?:.*?\S)?)__"
    r"|(?<![\w*])\*(?P<em>[^\s*](?:[^*]*[^\s*])?)\*(?![\w*])"
    r"|(?<!\w)_(?P<em2>[^\s_](?:[^_]*[^\s_])?)_(?!\w)"
)

_LONGEST_STYLED = 2_000
"""Longer lines are shown as they stand: matching pairs of marks in them could take too long."""


def markdown_lines(source: str, *, lead: tuple[Run, ...] = ()) -> list[Line]:
    """The lines of filtered Markdown ``source``."""
    found: list[Line] = []
    rows = source.split("\n")
    at = 0
    while at < len(rows):
        fence = _FENCE.match(rows[at])
        if fence:
            at, code = _fenced(rows, at, fence.group(2))
            found += coloured_code(
                "\n".join(code), fence.group(3), lead=(*lead, ("  ", "text")), fill="code"
            )
            continue
        text = rows[at]
        at += 1
        while at < len(rows) and _goes_on(text, rows[at]):
            text = f"{text.rstrip()} {rows[at].strip()}"
            at += 1
        found.append(_line(text, lead))
    return _without_outer_blanks(found)


def _goes_on(text: str, following: str) -> bool:
    """Whether a line only goes on with the paragraph or list item before it (CommonMark 6.8)."""
    if not text.strip() or not following.strip() or text.endswith(("  ", "\\")):
        return False
    if text.lstrip().startswith(("|", "<")) or following.lstrip().startswith(("|", "<")):
        return False
    if text.startswith("    ") or _HEADING.match(text) or _RULE.match(text):
        return False
    starts = (_FENCE, _HEADING, _BULLET, _NUMBER, _QUOTE, _RULE, _UNDERLINE)
    return not any(pattern.match(following) for pattern in starts)


def _fenced(rows: list[str], at: int, fence: str) -> tuple[int, list[str]]:
    code: list[str] = []
    at += 1
    while at < len(rows) and not rows[at].strip().startswith(fence):
        code.append(rows[at])
        at += 1
    return at + 1, code


def _line(text: str, lead: tuple[Run, ...]) -> Line:
    if heading := _HEADING.match(text):
        level = len(heading.group(1))
        return joined(*_inline(heading.group(2), "title" if level == 1 else "heading"), lead=lead)
    if _RULE.match(text):
        return line("────────", "rule", lead=lead)
    if bullet := _BULLET.match(text):
        indent, _, box, rest = bullet.groups()
        mark = f"{indent}• {box or ''}"
        return joined((mark, "info"), *_inline(rest), lead=lead, hang=len(mark))
    if number := _NUMBER.match(text):
        mark = f"{number.group(1)}{number.group(2)} "
        return joined((mark, "info"), *_inline(number.group(3)), lead=lead, hang=len(mark))
    if quote := _QUOTE.match(text):
        return joined(*_inline(quote.group(1), "dim"), lead=(*lead, ("│ ", "rule")))
    return joined(*_inline(text), lead=lead)


def _inline(text: str, tone: str = "text") -> list[Run]:
    if len(text) > _LONGEST_STYLED:
        return [(text, tone)]
    found: list[Run] = []
    end = 0
    for match in _INLINE.finditer(text):
        found.append((text[end : match.start()], tone))
        if match.group("code"):
            found.append((match.group("code_text"), "inline"))
        else:
            inner = next(
                part
                for part in (match["bold"], match["bold2"], match["em"], match["em2"])
                if part is not None
            )
            strong = match["bold"] is not None or match["bold2"] is not None
            found.append((inner, "strong" if strong else "emphasis"))
        end = match.end()
    found.append((text[end:], tone))
    return [run for run in found if run[0]]


def _without_outer_blanks(found: list[Line]) -> list[Line]:
    first = next((at for at, one in enumerate(found) if one.text.strip()), len(found))
    last = next((at for at in range(len(found), first, -1) if found[at - 1].text.strip()), first)
    return found[first:last]
