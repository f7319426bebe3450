"""Checks of JSON values, in Slack's words: small functions that are put together to a schema.

A check is called with a value, its JSON pointer, and the list that complaints go to.
"""

from collections.abc import Callable, Mapping
from typing import Any

Complaints = list[str]
Check = Callable[[Any, str, Complaints], None]


def complain(complaints: Complaints, message: str, pointer: str) -> None:
    """Add a complaint about the value at a JSON pointer."""
    complaints.append(f"{message} [json-pointer:{pointer}]")


def string(longest: int, shortest: int = 1) -> Check:
    """Text of at least ``shortest`` and at most ``longest`` characters."""

    def check(value: Any, pointer: str, complaints: Complaints) -> None:
        if not isinstance(value, str):
            complain(complaints, "must be a string", pointer)
        elif len(value) < shortest:
            complain(complaints, f"must be more than {shortest - 1} characters", pointer)
        elif len(value) > longest:
            complain(complaints, f"must be less than {longest + 1} characters", pointer)

    return check


def one_of(*allowed: str) -> Check:
    """One of some words."""

    def check(value: Any, pointer: str, complaints: Complaints) -> None:
        if not isinstance(value, str) or value not in allowed:
            complain(complaints, "must be a valid enum value", pointer)

    return check


def boolean(value: Any, pointer: str, complaints: Complaints) -> None:
    """True or false."""
    if not isinstance(value, bool):
        complain(complaints, "must be a boolean", pointer)


def integer(lowest: int, highest: int) -> Check:
    """A whole number within bounds."""

    def check(value: Any, pointer: str, complaints: Complaints) -> None:
        if type(value) is not int:
            complain(complaints, "must be an integer", pointer)
        elif not lowest <= value <= highest:
            complain(complaints, f"must be between {lowest} and {highest}", pointer)

    return check


def array(item: Check, most: int, least: int = 1) -> Check:
    """A list of ``least`` to ``most`` items that all pass ``item``."""

    def check(value: Any, pointer: str, complaints: Complaints) -> None:
        if not isinstance(value, list):
            complain(complaints, "must be an array", pointer)
            return
        if len(value) < least:
            complain(complaints, f"no fewer than {least} items allowed", pointer)
        if len(value) > most:
            complain(complaints, f"no more than {most} items allowed", pointer)
        for index, entry in enumerate(value):
            item(entry, f"{pointer}/{index}", complaints)

    return check


def record(
    required: Mapping[str, Check] | None = None, optional: Mapping[str, Check] | None = None
) -> Check:
    """An object with these fields and no others; ``type`` is the business of :func:`by_type`."""
    required, optional = required or {}, optional or {}

    def check(value: Any, pointer: str, complaints: Complaints) -> None:
        if not isinstance(value, dict):
            complain(complaints, "must be an object", pointer)
            return
        for name in required:
            if name not in value:
                complain(complaints, f"missing required field: {name}", pointer)
        for name, entry in value.items():
            known = required.get(name) or optional.get(name)
            if known is not None:
                known(entry, f"{pointer}/{name}", complaints)
            elif name != "type":
                complain(complaints, f"invalid additional property: {name}", pointer)

    return check


def by_type(kinds: Mapping[str, Check]) -> Check:
    """An object whose ``type`` names the check that it must pass."""

    def check(value: Any, pointer: str, complaints: Complaints) -> None:
        if not isinstance(value, dict):
            complain(complaints, "must be an object", pointer)
        elif "type" not in value:
            complain(complaints, "missing required field: type", pointer)
        elif not isinstance(value["type"], str) or value["type"] not in kinds:
            complain(complaints, f"unsupported type: {value['type']}", f"{pointer}/type")
        else:
            kinds[value["type"]](value, pointer, complaints)

    return check


def together(*checks: Check) -> Check:
    """All of these checks."""

    def check(value: Any, pointer: str, complaints: Complaints) -> None:
        for each in checks:
            each(value, pointer, complaints)

    return check
