"""The base of the views that draw row by row, on demand, through Textual's line API."""

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from runbookd.tui.rows import BLANK, Row, Tone
from runbookd.visible import visible

TONES = (
    "dim", "rule", "title", "heading", "strong", "emphasis", "inline", "info", "accent",
    "good", "bad", "warn", "keyword", "string", "number", "comment", "name", "builtin",
    "selected", "gutter", "key",
)  # fmt: skip
FILLS = ("code", "cursor", "gate")


class Lines(ScrollView, can_focus=True):
    """Rows that are made when they are needed. Subclasses say how many and which."""

    COMPONENT_CLASSES = {f"lines--{name}" for name in (*TONES, *(f"on-{fill}" for fill in FILLS))}

    DEFAULT_CSS = """
    Lines {
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-color: $foreground 20%;
        & > .lines--dim { color: $foreground 62%; }
        & > .lines--rule { color: $foreground 35%; }
        & > .lines--title { color: $primary; text-style: bold; }
        & > .lines--heading { color: $foreground; text-style: bold; }
        & > .lines--strong { text-style: bold; }
        & > .lines--emphasis { text-style: italic; }
        & > .lines--inline { color: $secondary; }
        & > .lines--info { color: $primary; }
        & > .lines--accent { color: $accent; text-style: bold; }
        & > .lines--good { color: $success; }
        & > .lines--bad { color: $error; }
        & > .lines--warn { color: $warning; }
        & > .lines--keyword { color: $syntax-keyword; }
        & > .lines--string { color: $syntax-string; }
        & > .lines--number { color: $syntax-number; }
        & > .lines--comment { color: $syntax-comment; text-style: italic; }
        & > .lines--name { color: $syntax-name; }
        & > .lines--builtin { color: $syntax-builtin; }
        & > .lines--selected { text-style: bold; }
        & > .lines--gutter { color: $primary; text-style: bold; }
        & > .lines--key { color: $primary; text-style: bold; }
        & > .lines--on-code { background: $surface; }
        & > .lines--on-cursor { background: $primary 25%; }
        & > .lines--on-gate { background: $surface; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._tones: dict[str, Style] = {}
        self._base: Style | None = None
        self._drawn: dict[int, Row] = {}

    def row_count(self, width: int) -> int:
        """How many rows there are on ``width`` columns."""
        raise NotImplementedError

    def row_at(self, y: int, width: int) -> Row:
        """The row ``y``, counted from 0."""
        raise NotImplementedError

    @property
    def columns(self) -> int:
        """The width that rows have."""
        return max(1, self.scrollable_content_region.width)

    @property
    def top(self) -> int:
        """The first visible row."""
        return self.scroll_offset.y

    @property
    def page(self) -> int:
        """How many rows are visible."""
        return max(1, self.scrollable_content_region.height)

    def relayout(self) -> None:
        """Count the rows anew and draw those visible ones that are not what they were."""
        width = self.columns
        count = self.row_count(width)
        size = Size(width, count)
        if size != self.virtual_size:
            self.virtual_size = size
        top = self.top
        for y, drawn in list(self._drawn.items()):
            if drawn != (self.row_at(top + y, width) if top + y < count else BLANK):
                self.refresh(Region(0, y, self.size.width, 1))

    def on_resize(self) -> None:
        """Rows depend on the width."""
        self._drawn.clear()
        self.relayout()
        self.refresh()

    def notify_style_update(self) -> None:
        """The theme changed."""
        super().notify_style_update()
        self._tones.clear()
        self._base = None

    def render_line(self, y: int) -> Strip:
        """The strip of the visible row ``y``."""
        place = self.top + y
        width = self.columns
        row = self.row_at(place, width) if place < self.row_count(width) else BLANK
        self._drawn[y] = row
        base = self._base = self._base or self.rich_style
        if row.fill:
            base += self.tone(f"on-{row.fill}")
        segments = [Segment(harmless(text), base + self.tone(tone)) for text, tone in row.runs]
        return Strip(segments).adjust_cell_length(width, base)

    def tone(self, tone: Tone) -> Style:
        """The style of a tone in the theme that is in force."""
        if isinstance(tone, Style):
            return tone
        if tone == "text":
            return Style.null()
        if tone not in self._tones:
            self._tones[tone] = self._resolved(tone)
        return self._tones[tone]

    def _resolved(self, tone: str) -> Style:
        """The tone as the theme has it, translucent colours laid over what is below them."""
        whole = self.get_component_rich_style(f"lines--{tone}")
        if tone.startswith("on-"):
            return Style(bgcolor=whole.bgcolor)
        part = self.get_component_rich_style(f"lines--{tone}", partial=True)
        return Style(
            color=whole.color if part.color else None,
            bold=part.bold or None,
            italic=part.italic or None,
        )


def harmless(text: str) -> str:
    """The last look at text before it is drawn; what came here has been filtered at its entry."""
    if text.isprintable():
        return text
    return visible(text).replace("\n", "␊").replace("\t", " ")
