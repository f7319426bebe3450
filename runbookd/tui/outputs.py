"""What an execution put out, as lines for the screen, with a bound on what is kept.

The record holds the whole output; here are its first lines and its last ones, and the number of
those that were let go. Text is filtered as it comes in; colours stay.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate

from runbookd.events import Content, OutputChannel, OutputData
from runbookd.tui.rows import BLANK, Line, Row, Run, filtered, joined, line
from runbookd.tui.sgr import PLAIN, Pen, coloured
from runbookd.visible import one_line

HEAD = 40
"""The first lines, which are always kept and always shown."""
KEPT_LINES = 4_000
KEPT_CHARS = 1_000_000
LONGEST_LINE = 4_096
"""A longer line is broken, so that no output without a line feed costs more than others."""
SHOWN_TAIL = 100
"""How many of the last lines a collapsed output shows."""
BLOB_LIMIT = 256 * 1024
"""A larger blob is not loaded for the screen."""

_UNFINISHED = re.compile(r"(\r|\x1b(\[[0-9;:]{0,40})?)\Z")

_BARS: dict[OutputChannel, tuple[Run, ...]] = {
    "stdout": (("│ ", "rule"),),
    "stderr": (("│ ", "warn"),),
    "result": (("│ ", "info"),),
    "display": (("│ ", "info"),),
    "error": (("┃ ", "bad"),),
}


class Output:
    """The output of one execution."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._chars = 0
        self._dropped = 0
        self._open: str | None = None
        self._open_pen = PLAIN
        self._open_channel: OutputChannel = "stdout"
        self._pens: dict[OutputChannel, Pen] = {}
        self._held = ""
        self._wanted: dict[str, tuple[Line, OutputChannel]] = {}
        self._width = 0
        self._starts: list[int] = [0]
        self._valid = 0

    @property
    def empty(self) -> bool:
        """Whether nothing came."""
        return not self._lines

    @property
    def total(self) -> int:
        """How many lines came, kept or not."""
        return len(self._lines) + self._dropped

    @property
    def wanted(self) -> tuple[str, ...]:
        """Digests of blobs whose text would be shown if it were here."""
        return tuple(self._wanted)

    def feed(self, data: OutputData) -> None:
        """Take in one event."""
        if data.channel in {"stdout", "stderr"} and data.contents:
            content = data.contents[0]
            if content.text is not None:
                self._stream(data.channel, content.text)
                return
        self.end_stream()
        self._rich(data.channel, data.contents)

    def load(self, digest: str, content: bytes) -> None:
        """Put the text of a blob where it belongs."""
        found = self._wanted.pop(digest, None)
        if found is None:
            return
        placeholder, channel = found
        place = next((at for at, old in enumerate(self._lines) if old is placeholder), None)
        if place is None:
            return
        text = content.decode("utf-8", "replace")
        loaded = _text_lines(text.removesuffix("\n"), channel)
        self._lines[place : place + 1] = loaded
        self._chars += sum(len(one.text) for one in loaded) - len(placeholder.text)
        self._touch(place)
        self._trim()

    def fail(self, digest: str, why: str) -> None:
        """Say that a blob could not be loaded."""
        self.load(digest, f"[not loaded: {one_line(why)}]".encode())

    def end_stream(self) -> None:
        """The stream's last line is complete, whatever it ends with."""
        if self._held:
            held, self._held = self._held, ""
            self._write(self._open_channel, held)
        self._open = None

    def _stream(self, channel: OutputChannel, text: str) -> None:
        if channel != self._open_channel:
            self.end_stream()
        self._open_channel = channel
        text = self._held + text
        self._held = ""
        unfinished = _UNFINISHED.search(text)
        if unfinished:
            text, self._held = text[: unfinished.start()], unfinished.group()
        if text:
            self._write(channel, text)

    def _write(self, channel: OutputChannel, text: str) -> None:
        # A carriage return would paint over what stands there: it is shown, and ends the line.
        clean = filtered(text.replace("\r\n", "\n").replace("\r", "␍\n"), keep_sgr=True)
        if self._open is not None:
            clean = self._open + clean
            pen = self._open_pen
            self._chars -= len(self._lines.pop().text)
            self._touch(len(self._lines))
        else:
            pen = self._pens.get(channel, PLAIN)
        *whole, rest = clean.split("\n")
        for part in whole:
            pen = self._push(channel, part, pen)
        self._open = None
        if rest:
            before = pen
            pen = self._push(channel, rest, pen)
            if len(rest) <= LONGEST_LINE:
                self._open, self._open_pen = rest, before
        self._pens[channel] = pen
        self._trim()

    def _push(self, channel: OutputChannel, text: str, pen: Pen) -> Pen:
        for part in _pieces(text):
            made, pen = coloured(part, pen, lead=_BARS[channel])
            self._add(made)
        return pen

    def _rich(self, channel: OutputChannel, contents: tuple[Content, ...]) -> None:
        for content in contents:
            if content.mime.startswith("image/"):
                said = f"[{content.mime}, {size(content.bytes)}: not shown here; it is recorded]"
                self._add(line(said, "dim", lead=_BARS[channel]))
        best = _best_text(contents)
        if best is None:
            for content in contents:
                if not content.mime.startswith("image/"):
                    said = f"[{one_line(content.mime, 80)}, {size(content.bytes)}: not shown here]"
                    self._add(line(said, "dim", lead=_BARS[channel]))
        elif best.text is not None:
            text = _readable(best.mime, best.text)
            for one in _text_lines(text.removesuffix("\n"), channel):
                self._add(one)
        elif best.blob is not None:
            self._add_blob(channel, best.mime, best.bytes, best.blob)
        self._trim()

    def _add_blob(self, channel: OutputChannel, mime: str, length: int, digest: str) -> None:
        fits = length <= BLOB_LIMIT
        what = "loading" if fits else f"in the record as sha256 {digest[:16]}…"
        said = f"[{one_line(mime, 80)}, {size(length)}: {what}]"
        placeholder = line(said, "dim", lead=_BARS[channel])
        self._add(placeholder)
        if fits:
            self._wanted[digest] = (placeholder, channel)

    def _add(self, made: Line) -> None:
        self._lines.append(made)
        self._chars += len(made.text)

    def _trim(self) -> None:
        """Let go of lines after the head, many at once so that it costs little."""
        over = len(self._lines) - KEPT_LINES
        if over <= 0 and self._chars <= KEPT_CHARS:
            return
        end = HEAD + max(0, over) + KEPT_LINES // 4
        end = min(end, len(self._lines) - SHOWN_TAIL)
        while end > HEAD and self._chars - sum(len(x.text) for x in self._lines[HEAD:end]) > (
            KEPT_CHARS
        ):
            further = min(len(self._lines) - SHOWN_TAIL, end + KEPT_LINES // 4)
            if further == end:
                break
            end = further
        gone = self._lines[HEAD:end]
        if not gone:
            return
        del self._lines[HEAD:end]
        self._dropped += len(gone)
        self._chars -= sum(len(one.text) for one in gone)
        ids = {id(one) for one in gone}
        self._wanted = {d: w for d, w in self._wanted.items() if id(w[0]) not in ids}
        self._touch(HEAD)

    def _touch(self, place: int) -> None:
        self._valid = min(self._valid, place)

    # What follows is geometry: which row of the screen shows which line.

    def _lay_out(self, width: int) -> None:
        if width != self._width:
            self._width, self._valid = width, 0
        base = self._starts[self._valid]
        del self._starts[self._valid :]
        counts = (one.count(width) for one in self._lines[self._valid :])
        self._starts.extend(accumulate(counts, initial=base))
        self._valid = len(self._lines)

    def _gap(self, *, full: bool) -> tuple[int, int]:
        """The lines that are left out, from and to; equal when there is nothing between."""
        if full or len(self._lines) <= HEAD + SHOWN_TAIL + 20:
            return HEAD, HEAD
        return HEAD, len(self._lines) - SHOWN_TAIL

    def rows(self, width: int, *, full: bool) -> int:
        """How many rows it takes on a screen of ``width`` columns."""
        self._lay_out(width)
        first, last = self._gap(full=full)
        if first == last:
            return self._starts[-1] + (1 if self._dropped else 0)
        return self._starts[-1] - (self._starts[last] - self._starts[first]) + 1

    def row(self, index: int, width: int, *, full: bool) -> Row:
        """One of those rows."""
        self._lay_out(width)
        first, last = self._gap(full=full)
        if first != last or self._dropped:
            gap_at = self._starts[min(first, len(self._lines))]
            if index == gap_at:
                return self._gap_line(last - first).row(0, width)
            if index > gap_at:
                index += self._starts[last] - self._starts[first] - 1
        place = bisect_right(self._starts, index) - 1
        if place >= len(self._lines):
            return BLANK
        return self._lines[place].row(index - self._starts[place], width)

    def _gap_line(self, hidden: int) -> Line:
        said = f"… {hidden + self._dropped:,} more lines"
        if self._dropped:
            said += f", {self._dropped:,} of them only in the record"
        if hidden:
            said += "; z unfolds"
        return joined((said, "dim"), lead=_BARS["stdout"], words=False)


def size(length: int) -> str:
    """A number of bytes for people."""
    if length < 1024:
        return f"{length} B"
    if length < 1024 * 1024:
        return f"{length / 1024:.1f} KiB"
    return f"{length / 1024 / 1024:.1f} MiB"


def _pieces(text: str) -> list[str]:
    if len(text) <= LONGEST_LINE:
        return [text]
    return [text[at : at + LONGEST_LINE] for at in range(0, len(text), LONGEST_LINE)]


def _text_lines(text: str, channel: OutputChannel) -> list[Line]:
    found: list[Line] = []
    pen = PLAIN
    for raw in filtered(text.replace("\r\n", "\n"), keep_sgr=True).split("\n"):
        for part in _pieces(raw):
            made, pen = coloured(part, pen, lead=_BARS[channel])
            found.append(made)
    return found


_ERROR = "application/vnd.jupyter.error+json"
_PREFERRED: tuple[Callable[[str], bool], ...] = (
    lambda mime: mime == _ERROR,
    lambda mime: mime == "text/plain",
    lambda mime: mime == "text/markdown",
    lambda mime: mime.startswith("text/"),
    lambda mime: mime == "application/json",
)


def _best_text(contents: tuple[Content, ...]) -> Content | None:
    for fits in _PREFERRED:
        for content in contents:
            if fits(content.mime):
                return content
    return None


def _readable(mime: str, text: str) -> str:
    if mime != _ERROR:
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if not isinstance(found, dict):
        return text
    trace = found.get("traceback")
    if isinstance(trace, list) and trace:
        return "\n".join(str(part) for part in trace)
    return f"{found.get('ename', 'Error')}: {found.get('evalue', '')}"
