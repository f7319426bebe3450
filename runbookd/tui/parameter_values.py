"""From what was typed into a form to the JSON text of a parameter, or a sentence why not. Pure."""

import json
import re
from typing import assert_never

from runbookd.api import ParameterInfo
from runbookd.errors import InputError
from runbookd.model import JsonText
from runbookd.visible import one_line

_INTEGER = re.compile(r"[+-]?\d{1,300}")
_NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})([eE][+-]?\d{1,3})?")
_LONGEST_MATCHED = 1_000


def parameter_value(info: ParameterInfo, typed: str) -> JsonText | None:
    """The value that ``typed`` means; None when it was left empty and a default or nothing holds.

    Raises:
        InputError: it is required, or not of the declared type, choices or pattern.
    """
    name = one_line(info.name, 60)
    if typed == "":
        if info.required and info.default is None:
            raise InputError(f"{name} is required")
        return None
    value = _converted(info, typed.strip(), typed, name)
    if info.choices:
        chosen = next((choice for choice in info.choices if _same(choice, value)), None)
        if chosen is None:
            allowed = ", ".join(one_line(shown(choice), 60) for choice in info.choices)
            raise InputError(f"{name} is one of: {allowed}")
        return chosen
    if info.pattern is not None and info.type == "string":
        _check_pattern(info.pattern, typed, name)
    return value


def shown(value: JsonText) -> str:
    """A value as people type it: a string without its quotation marks."""
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, str) else value


def _same(one: JsonText, other: JsonText) -> bool:
    """Whether two JSON texts say the same value; ``true`` is not ``1``."""
    try:
        left, right = json.loads(one), json.loads(other)
    except ValueError:
        return one == other
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _converted(info: ParameterInfo, word: str, typed: str, name: str) -> JsonText:
    match info.type:
        case "string":
            return json.dumps(typed, ensure_ascii=False)
        case "integer":
            if not _INTEGER.fullmatch(word):
                raise InputError(f"{name} is a whole number")
            return str(int(word))
        case "number":
            if not _NUMBER.fullmatch(word):
                raise InputError(f"{name} is a number")
            return json.dumps(int(word) if _INTEGER.fullmatch(word) else float(word))
        case "boolean":
            if word.lower() not in {"true", "false"}:
                raise InputError(f"{name} is true or false")
            return word.lower()
        case _:
            assert_never(info.type)


def _check_pattern(pattern: str, typed: str, name: str) -> None:
    if len(typed) > _LONGEST_MATCHED:
        return  # the daemon checks it; a screen must not be busy with it
    try:
        fits = re.fullmatch(pattern, typed) is not None
    except re.error:
        return  # the daemon refuses the runbook with a better explanation
    if not fits:
        raise InputError(f"{name} has to match {one_line(pattern, 80)}")
