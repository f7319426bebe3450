"""What authors write under the metadata key ``runbookd``, for a notebook and for a cell.

Unknown keys are refused: a mistyped ``mode`` must not turn a gated cell into another one. The
metadata of other programs is neither read nor trusted.
"""

import difflib
import json
import keyword
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, StrictBool, StrictInt, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from runbookd.errors import RunbookError
from runbookd.events import Mode, Risk
from runbookd.model import Frozen
from runbookd.visible import one_line

Model = TypeVar("Model", bound=Frozen)

MAX_TIMEOUT_S = 24 * 3600

ParameterType = Literal["string", "integer", "number", "boolean"]

Text = Annotated[str, Field(max_length=1000)]
CellId = Annotated[str, Field(min_length=1, max_length=100)]


def _wrong(problem: str) -> PydanticCustomError:
    return PydanticCustomError("runbook", "{problem}", {"problem": problem})


def _identifier(name: str) -> str:
    if not name.isascii() or not name.isidentifier() or keyword.iskeyword(name):
        raise _wrong("a name is made of ASCII letters, digits and _, and is no Python keyword")
    if name.startswith("__"):
        raise _wrong("a name does not begin with __")
    return name


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    again = {name for name in names if names.count(name) > 1}
    if again:
        raise _wrong(f"{min(again)} is there twice")
    return names


def _regular_expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        raise _wrong("this is not a regular expression") from None
    return pattern


Identifier = Annotated[str, AfterValidator(_identifier)]
Identifiers = Annotated[tuple[Identifier, ...], AfterValidator(_each_once)]
CellIds = Annotated[tuple[CellId, ...], AfterValidator(_each_once)]


class AlertSource(Frozen):
    """Where a parameter's value is found in an alert: a label or an annotation, by its name."""

    label: str | None = None
    annotation: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "AlertSource":
        if (self.label is None) == (self.annotation is None):
            raise _wrong("give either a label or an annotation")
        return self


class Parameter(Frozen):
    """A value that is asked for when a session opens.

    ``default`` and ``choices`` are JSON values of ``type``; ``pattern`` is for strings, and must
    match the whole of them.
    """

    type: ParameterType = "string"
    description: Text = ""
    required: StrictBool = False
    default: Any = None
    choices: tuple[Any, ...] = ()
    pattern: Annotated[str, AfterValidator(_regular_expression)] | None = None
    alert: AlertSource | None = None

    @model_validator(mode="after")
    def _coherent(self) -> "Parameter":
        if self.pattern is not None and self.type != "string":
            raise _wrong("a pattern is for strings only")
        for choice in self.choices:
            problem = self.wrong_type(choice)
            if problem:
                raise _wrong(f"the choice {json.dumps(choice)} {problem}")
        if self.default is not None:
            problem = self.problem(self.default)
            if problem:
                raise _wrong(f"the default {problem}")
        return self

    def wrong_type(self, value: Any) -> str:
        """Why a JSON value is not of the type, as the rest of a sentence; empty when it is."""
        match self.type, value:
            case "boolean", bool():
                return ""
            case "string", str():
                # A lone surrogate is no character: it cannot be stored, shown or digested.
                return "" if _encodable(value) else "is not valid text"
            case "integer", int() if not isinstance(value, bool):
                return ""
            case "number", int() | float() if not isinstance(value, bool):
                return "" if abs(value) < float("inf") else "is not a finite number"
        return f"is not {'an' if self.type == 'integer' else 'a'} {self.type}"

    def problem(self, value: Any) -> str:
        """Why a JSON value cannot be taken, as the rest of a sentence; empty when it can."""
        wrong = self.wrong_type(value)
        if wrong:
            return wrong
        if self.choices and value not in self.choices:
            allowed = ", ".join(json.dumps(choice, ensure_ascii=False) for choice in self.choices)
            return f"is not one of {allowed}"
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            return f"does not match {self.pattern}"
        return ""


class NotebookMetadata(Frozen):
    """The notebook's key ``runbookd``.

    ``severity`` is from 1, the worst, to 5; ``alerts`` are sets of labels that open this runbook.
    """

    title: Text = ""
    service: Text = ""
    environment: Text = ""
    severity: Annotated[StrictInt, Field(ge=1, le=5)] | None = None
    owners: tuple[Text, ...] = ()
    tags: tuple[Text, ...] = ()
    alerts: tuple[dict[str, str], ...] = ()
    parameters: dict[Identifier, Parameter] = {}
    connectors: Annotated[tuple[str, ...], AfterValidator(_each_once)] = ()
    version: StrictInt | str = ""


class CellMetadata(Frozen):
    """A cell's key ``runbookd``. ``timeout`` is in seconds; the others name cells by their ids."""

    mode: Mode | None = None
    title: Text = ""
    risk: Risk | None = None
    inputs: Identifiers = ()
    outputs: Identifiers = ()
    connectors: Annotated[tuple[str, ...], AfterValidator(_each_once)] = ()
    timeout: Annotated[StrictInt, Field(ge=1, le=MAX_TIMEOUT_S)] | None = None
    rollback: CellId | None = None
    verify: CellId | None = None
    requires: CellIds = ()


def read_metadata(model: type[Model], value: Any, where: str) -> Model:
    """The metadata in ``value``, which is what the notebook's JSON has under ``runbookd``.

    Args:
        model: NotebookMetadata or CellMetadata.
        value: any JSON value.
        where: the file, and the cell's position and id, as errors call it.

    Raises:
        RunbookError: an unknown key, or a value of the wrong kind; names both place and key.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    # Unknown keys first: a mistyped key is often why something else is missing.
    first = min(found, key=lambda each: each["type"] != "extra_forbidden")
    path = tuple(part for part in first["loc"] if part != "[key]")
    key = ".".join(str(part) for part in path) or "runbookd"
    if first["type"] == "extra_forbidden":
        allowed = _allowed_keys(model, path)
        near = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(allowed)}"
        raise RunbookError(one_line(f'{where}: unknown key "{key}"', 400), hint)
    message = first["msg"][:1].lower() + first["msg"][1:]
    raise RunbookError(one_line(f"{where}: {key}: {message}", 400), "correct its metadata")


def _allowed_keys(model: type[Frozen], path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that are known beside the last one of ``path``: in the model, or inside it."""
    inside: dict[int, type[Frozen]] = {3: Parameter, 4: AlertSource}
    if path[:1] == ("parameters",):
        model = inside.get(len(path), model)
    return tuple(model.model_fields)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
