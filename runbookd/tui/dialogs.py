"""Questions to the person at the keyboard. Cancel comes first and is always Escape.

What is typed or pasted is filtered like everything else that enters the screen. An answer is what
a dialog is dismissed with; None means that it was cancelled.
"""

import time
from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static, TextArea

from runbookd.tui.fresh import FreshKey
from runbookd.visible import visible

Now = Callable[[], float]
"""Seconds on a clock that never goes back."""


class SafeInput(Input):
    """A line of input into which no control character can be pasted."""

    def _on_paste(self, event: events.Paste) -> None:
        # Textual calls the method of the base class after this one, with the same event.
        event.text = " ".join(visible(event.text.replace("\r", "\n")).split("\n"))


class SafeTextArea(TextArea):
    """Lines of input into which no control character can be pasted."""

    async def _on_paste(self, event: events.Paste) -> None:
        event.text = visible(event.text.replace("\r\n", "\n").replace("\r", "\n"))


def plain(text: str, *, id: str | None = None, classes: str | None = None) -> Static:  # noqa: A002
    """Text of which nothing is taken for markup and no character steers the terminal."""
    return Static(Content(visible(text)), id=id, classes=classes)


class LineDialog(ModalScreen[str | None]):
    """Asks for one line. Enter answers.

    Args:
        title: what is about to happen.
        prompt: what to type.
        required: an empty answer is refused.
        now: see :data:`Now`.
    """

    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(
        self, title: str, prompt: str, *, required: bool, now: Now = time.monotonic
    ) -> None:
        super().__init__()
        self._title = title
        self._prompt = prompt
        self._required = required
        self._now = now
        self._enter = FreshKey()

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical(classes="box"):
            yield plain(self._title, classes="box-title")
            yield plain(self._prompt, classes="box-text")
            yield SafeInput(id="answer")
            yield plain("", id="complaint")
            yield plain("Esc cancels   Enter confirms", classes="box-keys")

    def on_mount(self) -> None:
        """Enter counts from now on."""
        self._enter.ask(self._now(), pressed=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The answer, when it is one."""
        if not self._enter.press(self._now()):
            return
        text = event.value.strip()
        if self._required and not text:
            self.query_one("#complaint", Static).update(Content("Say why in a few words first."))
            return
        _ = self.dismiss(text)


class Draft(tuple[str, bool]):
    """What was written, and whether it shall be sent; an unsent draft is kept for the next time."""

    __slots__ = ()

    def __new__(cls, text: str, *, send: bool) -> "Draft":
        """A draft."""
        return super().__new__(cls, (text, send))

    @property
    def text(self) -> str:
        """What was written."""
        return self[0]

    @property
    def send(self) -> bool:
        """Whether it shall be sent."""
        return self[1]


class TextDialog(ModalScreen[Draft]):
    """Asks for text of several lines. Ctrl+R and F5 send: both arrive in every terminal.

    Args:
        title: what the text is for.
        prompt: what happens with it.
        draft: what was written before.
        language: ``python`` to colour it as code; None for prose.
    """

    BINDINGS = [
        Binding("escape", "leave(False)", "Cancel"),
        Binding("ctrl+r,f5", "leave(True)", "Send", priority=True),
    ]

    def __init__(
        self, title: str, prompt: str, *, draft: str = "", code: bool = False, verb: str = "keep"
    ) -> None:
        super().__init__()
        self._title = title
        self._prompt = prompt
        self._draft = draft
        self._code = code
        self._verb = verb

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical(classes="box wide"):
            yield plain(self._title, classes="box-title")
            yield plain(self._prompt, classes="box-text")
            yield SafeTextArea(
                self._draft,
                id="answer",
                soft_wrap=True,
                show_line_numbers=self._code,
                tab_behavior="indent" if self._code else "focus",
            )
            yield plain(f"Esc cancels, the text is kept   Ctrl+R or F5: {self._verb}",
                        classes="box-keys")  # fmt: skip

    def on_mount(self) -> None:
        """Go on where the draft ends."""
        area = self.query_one(TextArea)
        area.move_cursor(area.document.end)
        area.focus()

    def action_leave(self, send: bool) -> None:
        """Close the dialog, with what is there."""
        text = self.query_one(TextArea).text
        _ = self.dismiss(Draft(text, send=send and bool(text.strip())))


class ConfirmDialog(ModalScreen[bool]):
    """Asks yes or no. The key that confirms is another one than the key that asked.

    Args:
        title: what is about to happen.
        text: what that means.
        key: the key that confirms.
        verb: what it does.
    """

    BINDINGS = [Binding("escape,n", "dismiss(False)", "Cancel")]

    def __init__(
        self, title: str, text: str, *, key: str, verb: str, now: Now = time.monotonic
    ) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._key = key
        self._verb = verb
        self._now = now
        self._fresh = FreshKey()

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical(classes="box"):
            yield plain(self._title, classes="box-title")
            yield plain(self._text, classes="box-text")
            yield plain(f"Esc cancels   {self._key}: {self._verb}", classes="box-keys")

    def on_mount(self) -> None:
        """The key counts from now on."""
        self._fresh.ask(self._now())

    def on_key(self, event: events.Key) -> None:
        """The deciding key."""
        if event.key == self._key:
            event.stop()
            if self._fresh.press(self._now()):
                _ = self.dismiss(True)
