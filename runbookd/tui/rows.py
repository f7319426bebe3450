"""Lines of text and the rows that they take on a screen of some width. Pure, and no widget.

A :class:`Line` is text in a row of the source; a :class:`Row` is what fits the screen. Text passes
:func:`runbookd.visible.visible` when a line is made, so that nothing a line holds can steer a
terminal, and so that widths are counted on what is really shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.cells import cell_len, get_character_cell_size
from rich.style import Style

from runbookd.visible import visible

Tone = str | Style
"""A name of the palette (``dim``, ``bad``), or a colour that an output asked for."""

Run = tuple[str, Tone]
"""A piece of a row in one tone."""

Span = tuple[int, int, Tone]
"""Where a tone holds in a line: from, to (characters), tone."""

TAB = 8

CODE_MARGIN = " "
"""The lead of a line of code; a row that only goes on with one has an arrow there."""

READABLE = 100
"""Prose is broken after so many columns, however wide the screen is."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the screen. ``fill`` colours it to its right end."""

    runs: tuple[Run, ...] = ()
    fill: str | None = None

    @property
    def text(self) -> str:
        """The row without its tones."""
        return "".join(text for text, _ in self.runs)


BLANK = Row()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of filtered text without line breaks and tabs. Make it with :func:`line`.

    ``lead``, of narrow characters, is put before the first row and as much space before the others;
    with ``words`` the
    line is broken at spaces, else anywhere.
    """

    text: str
    tone: Tone = "text"
    spans: tuple[Span, ...] = ()
    lead: tuple[Run, ...] = ()
    fill: str | None = None
    words: bool = False
    hang: int = 0

    def breaks(self, width: int) -> Sequence[tuple[int, int]]:
        """Where each row begins and ends in the text, on a screen of ``width`` columns."""
        if self.words:
            width = min(width, READABLE)
        room = max(1, width - self._lead_width)
        text = self.text
        if len(text) <= room and (text.isascii() or cell_len(text) <= room):
            return ((0, len(text)),)
        if self.words:
            return _break_at_words(text, room, min(self.hang, room // 2))
        if text.isascii():
            return tuple((at, min(at + room, len(text))) for at in range(0, len(text), room))
        return _break_anywhere(text, room)

    def count(self, width: int) -> int:
        """How many rows the line takes."""
        text = self.text
        if not self.words and text.isascii():
            room = max(1, width - self._lead_width)
            return max(1, -(-len(text) // room))
        return len(self.breaks(width))

    def row(self, index: int, width: int) -> Row:
        """One of the rows."""
        start, end = self.breaks(width)[index]
        lead = self.lead
        if index and lead:
            lead = tuple((_continued(text), tone) for text, tone in lead)
        if index and self.hang:
            lead = (*lead, (" " * self.hang, self.tone))
        return Row((*lead, *self.runs(start, end)), self.fill)

    def runs(self, start: int, end: int) -> tuple[Run, ...]:
        """The text from ``start`` to ``end`` in its tones."""
        found: list[Run] = []
        at = start
        for first, last, tone in self.spans:
            first, last = max(first, at), min(last, end)
            if first >= last:
                continue
            if first > at:
                found.append((self.text[at:first], self.tone))
            found.append((self.text[first:last], tone))
            at = last
        if at < end:
            found.append((self.text[at:end], self.tone))
        return tuple(found)

    @property
    def _lead_width(self) -> int:
        return sum(len(text) for text, _ in self.lead)


def _continued(lead: str) -> str:
    """The lead of a row that goes on with the line before it."""
    if lead.strip() in {"│", "┃"}:
        return lead
    return "↪" if lead == CODE_MARGIN else " " * cell_len(lead)


def filtered(text: str, *, keep_sgr: bool = False) -> str:
    """:func:`runbookd.visible.visible`, quick for the long plain text that outputs are made of."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return visible(text, keep_sgr=keep_sgr)


def line(
    text: str,
    tone: Tone = "text",
    *,
    lead: tuple[Run, ...] = (),
    fill: str | None = None,
    words: bool = True,
    hang: int = 0,
    spans: Iterable[Span] = (),
) -> Line:
    """A line of ``text``, filtered. ``spans`` counts in the filtered text, tabs expanded."""
    clean = text if text.isascii() and text.isprintable() else one_row(text)
    return Line(clean, tone, tuple(spans), lead, fill, words, hang)


def lines(text: str, tone: Tone = "text", **options: object) -> list[Line]:
    """One line for each line of ``text``."""
    return [line(part, tone, **options) for part in text.split("\n")]  # type: ignore[arg-type]


def one_row(text: str) -> str:
    """``text`` filtered, with tabs as spaces and line breaks shown."""
    return visible(text).expandtabs(TAB).replace("\n", "␊")


def joined(*parts: Run, lead: tuple[Run, ...] = (), words: bool = True, hang: int = 0) -> Line:
    """A line made of pieces in different tones."""
    texts = [one_row(text) for text, _ in parts]
    starts = [0, *accumulate(len(text) for text in texts)]
    spans = tuple(
        (start, start + len(text), tone)
        for start, text, (_, tone) in zip(starts, texts, parts, strict=False)
        if text
    )
    return Line("".join(texts), "text", spans, lead, None, words, hang)


def clip(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns, cut with an ellipsis."""
    if cell_len(text) <= width:
        return text
    room = max(0, width - 1)
    taken = 0
    for at, char in enumerate(text):
        taken += get_character_cell_size(char)
        if taken > room:
            return text[:at] + "…" if width > 0 else ""
    return text


def pad(text: str, width: int) -> str:
    """``text`` clipped or filled with spaces to exactly ``width`` columns."""
    cut = clip(text, width)
    return cut + " " * (width - cell_len(cut))


def spread(left: Sequence[Run], right: Sequence[Run], width: int) -> tuple[Run, ...]:
    """``left`` and ``right`` at the two ends of a row; the last piece of ``left`` gives way."""
    right_width = sum(cell_len(text) for text, _ in right)
    *firm, (last, tone) = left
    room = width - right_width - sum(cell_len(text) for text, _ in firm) - (1 if right else 0)
    if room < 4 and right:
        return spread(left, (), width)
    kept = [*firm, (clip(last, max(0, room)), tone)]
    space = width - right_width - sum(cell_len(text) for text, _ in kept)
    return (*kept, (" " * max(0, space), "text"), *right)


def _break_anywhere(text: str, room: int) -> tuple[tuple[int, int], ...]:
    found = []
    start = used = 0
    for at, char in enumerate(text):
        size = get_character_cell_size(char)
        if used + size > room and at > start:
            found.append((start, at))
            start, used = at, 0
        used += size
    found.append((start, len(text)))
    return tuple(found)


def _break_at_words(text: str, room: int, hang: int) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    start = used = 0
    space = -1
    limit = room
    for at, char in enumerate(text):
        if char == " ":
            space = at
        size = get_character_cell_size(char)
        if used + size > limit and at > start:
            # A space right at the edge needs no room: the row ends before it.
            end = space if space > start else at
            found.append((start, end))
            start = end + 1 if end == space else end
            used = cell_len(text[start:at])
            limit = max(1, room - hang)
            if start > at:
                used = 0
                continue
        used += size
    if start < len(text) or not found:
        found.append((start, len(text)))
    return tuple(found)
