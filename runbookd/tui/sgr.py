"""Colours in an output: the SGR sequences (ECMA-48, 8.3.117) of text that was filtered before.

Only what helps to read is taken over. Blinking and concealing are not, and text in the colour of
its background loses that background: an output may be colourful, it may not hide anything.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from rich.color import Color
from rich.style import Style

from runbookd.tui.rows import TAB, Line, Run, Span

_SGR = re.compile(r"\x1b\[([0-9;:]*)m")


@dataclass(frozen=True, slots=True)
class Pen:
    """How the next character is written."""

    colour: str | None = None
    back: str | None = None
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False
    strike: bool = False


PLAIN = Pen()


@lru_cache(maxsize=512)
def style_of(pen: Pen) -> Style:
    """The pen as a style of the screen."""
    back = None if pen.back == pen.colour else pen.back
    return Style(
        color=_colour(pen.colour),
        bgcolor=_colour(back),
        bold=pen.bold or None,
        dim=pen.faint or None,
        italic=pen.italic or None,
        underline=pen.underline or None,
        reverse=pen.reverse or None,
        strike=pen.strike or None,
    )


def _colour(name: str | None) -> Color | None:
    return Color.parse(name) if name else None


def coloured(
    text: str, pen: Pen = PLAIN, *, tone: str = "text", lead: tuple[Run, ...] = ()
) -> tuple[Line, Pen]:
    """One line of filtered text with SGR left in, and the pen after it.

    Args:
        text: went through ``visible(..., keep_sgr=True)``; no line break.
        pen: the pen that the line before left.
        tone: for what is written with the plain pen.
        lead: see :class:`~runbookd.tui.rows.Line`.
    """
    if "\x1b" not in text and pen == PLAIN:
        return Line(text.expandtabs(TAB), tone, (), lead), pen
    parts: list[str] = []
    spans: list[Span] = []
    length = end = 0

    def write(part: str) -> None:
        nonlocal length
        # A sequence that was cut in two is no sequence: it is shown.
        part = part.replace("\x1b", "␛").expandtabs(TAB)
        if part and pen != PLAIN:
            spans.append((length, length + len(part), style_of(pen)))
        parts.append(part)
        length += len(part)

    for found in _SGR.finditer(text):
        write(text[end : found.start()])
        pen = after(pen, found.group(1))
        end = found.end()
    write(text[end:])
    return Line("".join(parts), tone, tuple(spans), lead), pen


def after(pen: Pen, parameters: str) -> Pen:
    """The pen after an SGR sequence with these parameters. What is unknown changes nothing."""
    numbers = [int(part[:5] or 0) for part in re.split("[;:]", parameters)]
    at = 0
    while at < len(numbers):
        code = numbers[at]
        at += 1
        match code:
            case 0:
                pen = PLAIN
            case 1:
                pen = replace(pen, bold=True)
            case 2:
                pen = replace(pen, faint=True)
            case 3:
                pen = replace(pen, italic=True)
            case 4:
                pen = replace(pen, underline=True)
            case 7:
                pen = replace(pen, reverse=True)
            case 9:
                pen = replace(pen, strike=True)
            case 22:
                pen = replace(pen, bold=False, faint=False)
            case 23:
                pen = replace(pen, italic=False)
            case 24:
                pen = replace(pen, underline=False)
            case 27:
                pen = replace(pen, reverse=False)
            case 29:
                pen = replace(pen, strike=False)
            case 39:
                pen = replace(pen, colour=None)
            case 49:
                pen = replace(pen, back=None)
            case 38 | 48:
                colour, at = _extended(numbers, at)
                pen = replace(pen, colour=colour) if code == 38 else replace(pen, back=colour)
            case _ if 30 <= code <= 37:
                pen = replace(pen, colour=f"color({code - 30})")
            case _ if 40 <= code <= 47:
                pen = replace(pen, back=f"color({code - 40})")
            case _ if 90 <= code <= 97:
                pen = replace(pen, colour=f"color({code - 82})")
            case _ if 100 <= code <= 107:
                pen = replace(pen, back=f"color({code - 92})")
            case _:
                pass
    return pen


def _extended(numbers: list[int], at: int) -> tuple[str | None, int]:
    """The colour of ``38;5;N`` or ``38;2;R;G;B`` and where the parameters go on."""
    kind = numbers[at] if at < len(numbers) else None
    if kind == 5 and at + 1 < len(numbers) and numbers[at + 1] <= 255:
        return f"color({numbers[at + 1]})", at + 2
    if kind == 2 and at + 3 < len(numbers) and max(numbers[at + 1 : at + 4]) <= 255:
        red, green, blue = numbers[at + 1 : at + 4]
        return f"#{red:02x}{green:02x}{blue:02x}", at + 4
    return None, len(numbers)
