"""The form that opens a runbook: its parameters, the incident and its severity."""

from collections.abc import Mapping

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Input, Select, Static

from runbookd.api import OpenSession, ParameterInfo, RunbookInfo
from runbookd.errors import InputError
from runbookd.model import JsonText
from runbookd.tui.dialogs import SafeInput, plain
from runbookd.tui.parameter_values import parameter_value, shown
from runbookd.visible import one_line, visible

_SEVERITIES = [("1, the worst", "1"), ("2", "2"), ("3", "3"), ("4", "4"), ("5", "5")]


class ParametersScreen(Screen[OpenSession | None]):
    """Asks for what a session needs. Dismissed with the wish to open it, or None.

    Args:
        info: the runbook.
        given: what is known already, such as from the command line.
    """

    AUTO_FOCUS = ""  # on_mount knows better where to start

    BINDINGS = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+r,f5", "open", "Open", priority=True),
    ]

    def __init__(self, info: RunbookInfo, given: OpenSession | None = None) -> None:
        super().__init__()
        self._info = info
        self._given = given or OpenSession(runbook=info.path)

    def compose(self) -> ComposeResult:
        """The form."""
        info = self._info
        where = " · ".join(part for part in (info.service, info.environment) if part)
        yield plain(f"Open '{one_line(info.title)}'", classes="form-title")
        yield plain(one_line(f"{where}  {info.path}".strip()), classes="form-path")
        with VerticalScroll(id="form", can_focus=False):
            yield from _field("Incident", "the id that people use for it, such as INC-42",
                SafeInput(self._given.incident or "", id="incident", compact=True))  # fmt: skip
            severity = self._given.severity or info.severity
            yield from _field(
                "Severity",
                "",
                Select(
                    [(Content(label), value) for label, value in _SEVERITIES],
                    prompt="not said",
                    value=str(severity) if severity in range(1, 6) else Select.NULL,
                    id="severity",
                    compact=True,
                ),
            )
            for at, parameter in enumerate(info.parameters):
                yield from _field(
                    _label(parameter),
                    parameter.description,
                    _input(parameter, at, self._given.parameters),
                )
        yield plain("", id="complaint")
        with Horizontal(id="form-buttons"):
            yield Button("Open (Ctrl+R)", id="open", variant="primary", compact=True)
            yield Button("Cancel (Esc)", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Start at the first thing that has to be filled in."""
        for at, parameter in enumerate(self._info.parameters):
            if parameter.required and parameter.default is None:
                self.query_one(f"#p{at}").focus()
                return
        self.query_one("#incident").focus()

    @on(Input.Submitted)
    def go_on(self) -> None:
        """Enter in a field goes to the next one."""
        self.focus_next()

    @on(Button.Pressed)
    def press(self, event: Button.Pressed) -> None:
        """The two buttons."""
        if event.button.id == "open":
            self.action_open()
        else:
            _ = self.dismiss(None)

    def action_open(self) -> None:
        """Check the form and hand the wish over."""
        parameters: dict[str, JsonText] = {}
        for at, parameter in enumerate(self._info.parameters):
            try:
                value = parameter_value(parameter, self._typed(f"p{at}"))
            except InputError as error:
                self.query_one("#complaint", Static).update(Content(visible(error.message)))
                self.query_one(f"#p{at}").focus()
                return
            if value is not None:
                parameters[parameter.name] = value
        severity = self._typed("severity")
        _ = self.dismiss(
            OpenSession(
                runbook=self._given.runbook,
                parameters=parameters,
                incident=self._typed("incident").strip() or None,
                severity=int(severity) if severity else None,
                drill=self._given.drill,
            )
        )

    def _typed(self, name: str) -> str:
        found = self.query_one(f"#{name}")
        if isinstance(found, Select):
            return "" if found.value is Select.NULL else str(found.value)
        assert isinstance(found, Input)
        return found.value


def missing(info: RunbookInfo, wanted: OpenSession) -> bool:
    """Whether a required parameter has no value yet."""
    return any(
        p.required and p.default is None and p.name not in wanted.parameters
        for p in info.parameters
    )


def _field(label: str, help_text: str, field: Input | Select[str]) -> ComposeResult:
    with Horizontal(classes="field"):
        yield plain(label, classes="field-label")
        yield field
    if help_text:
        yield plain(one_line(help_text, 300), classes="field-help")


def _label(parameter: ParameterInfo) -> str:
    needed = " *" if parameter.required and parameter.default is None else ""
    return f"{one_line(parameter.name, 40)}{needed}"


def _input(parameter: ParameterInfo, at: int, given: Mapping[str, JsonText]) -> Input | Select[str]:
    """A field. A value that would not look the same on the screen is offered, not filled in."""
    value = given.get(parameter.name, parameter.default)
    choices = parameter.choices or (("true", "false") if parameter.type == "boolean" else ())
    if choices:
        options = [(Content(one_line(shown(choice), 200)), shown(choice)) for choice in choices]
        chosen = next((shown(c) for c in choices if c == value), None)
        return Select(
            options,
            prompt="choose" if parameter.required else "default",
            value=Select.NULL if chosen is None else chosen,
            id=f"p{at}",
            compact=True,
        )
    text = "" if value is None else shown(value)
    faithful = visible(text) == text and "\n" not in text and "\t" not in text
    hint = parameter.type if faithful else f"default: {one_line(text)}"
    return SafeInput(text if faithful else "", placeholder=hint, id=f"p{at}", compact=True)
