"""The parameters of a runbook: what was given, checked, and the rest filled in with defaults."""

import difflib
import json
from typing import Any

from runbookd.api import ParameterInfo
from runbookd.errors import InputError
from runbookd.model import JsonText
from runbookd.runbook.metadata import Parameter
from runbookd.runbook.notebook import Runbook
from runbookd.visible import one_line


def resolve(runbook: Runbook, given: dict[str, JsonText]) -> dict[str, JsonText]:
    """A value for every parameter of the runbook, as compact JSON text.

    One that is neither given nor required, and has no default, is ``null``.

    Raises:
        InputError: an unknown name, a value that is not allowed, or a missing one; says what is.
    """
    values = {name: _given(name, text, runbook) for name, text in given.items()}
    missing = [
        name
        for name, parameter in runbook.parameters.items()
        if parameter.required and parameter.default is None and name not in values
    ]
    if missing:
        names = " and ".join(missing)
        raise InputError(
            f"{runbook.path.name} needs a value for {names}",
            " ".join(f"-p {name}=VALUE" for name in missing),
        )
    return {
        name: _text(values.get(name, parameter.default))
        for name, parameter in runbook.parameters.items()
    }


def parse_assignment(assignment: str, runbook: Runbook) -> tuple[str, JsonText]:
    """The parameter and the value in ``NAME=VALUE``; VALUE is read as the parameter's type.

    Raises:
        InputError: there is no ``=``, no such parameter, or the value is not allowed.
    """
    name, equals, text = assignment.partition("=")
    if not equals:
        raise InputError(one_line(f"{assignment} is no assignment"), "write -p NAME=VALUE")
    parameter = _parameter(name, runbook)
    value: Any = text
    if parameter.type != "string":
        try:
            value = _loads(text.lower() if parameter.type == "boolean" else text)
        except ValueError:
            raise _wrong(name, parameter.wrong_type(text), parameter) from None
    return name, _text(_checked(name, value, parameter))


def describe(runbook: Runbook) -> tuple[ParameterInfo, ...]:
    """The parameters, for people to be asked."""
    return tuple(
        ParameterInfo(
            name=name,
            type=parameter.type,
            description=parameter.description,
            required=parameter.required,
            default=None if parameter.default is None else _text(parameter.default),
            choices=tuple(_text(choice) for choice in parameter.choices),
            pattern=parameter.pattern,
        )
        for name, parameter in runbook.parameters.items()
    )


def _given(name: str, text: JsonText, runbook: Runbook) -> Any:
    parameter = _parameter(name, runbook)
    try:
        value = _loads(text)
    except ValueError:
        raise _wrong(name, "is not JSON", parameter) from None
    if value is None and not parameter.required:
        return None
    return _checked(name, value, parameter)


def _parameter(name: str, runbook: Runbook) -> Parameter:
    if name in runbook.parameters:
        return runbook.parameters[name]
    near = difflib.get_close_matches(name, runbook.parameters, n=1)
    known = ", ".join(runbook.parameters) or "none"
    hint = f"did you mean {near[0]}?" if near else f"its parameters: {known}"
    raise InputError(one_line(f"{runbook.path.name} has no parameter {name}"), hint)


def _checked(name: str, value: Any, parameter: Parameter) -> Any:
    problem = parameter.problem(value)
    if problem:
        raise _wrong(name, problem, parameter)
    return value


def _wrong(name: str, problem: str, parameter: Parameter) -> InputError:
    return InputError(one_line(f"parameter {name} {problem}", 400), f"give {_kind(parameter)}")


def _kind(parameter: Parameter) -> str:
    match parameter.type:
        case "boolean":
            return "true or false"
        case "integer":
            return "an integer, such as 40"
        case "number":
            return "a number, such as 1.5"
        case "string":
            return "a string"


def _loads(text: str) -> Any:
    """The JSON value in ``text``. Raises ValueError, also for NaN, which is not JSON."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _text(value: Any) -> JsonText:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
