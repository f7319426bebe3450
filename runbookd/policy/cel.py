"""The conditions of rules: CEL expressions, checked when they are read and evaluated closed."""

import functools
from collections.abc import Mapping
from typing import Any

from runbookd.visible import one_line


def check_syntax(source: str) -> str:
    """What is wrong with an expression, as a sentence; empty when it can be evaluated."""
    try:
        _program(source)
    except Exception as error:  # noqa: BLE001 - the parser raises several kinds, and its own bugs
        line = getattr(error, "line", None)
        column = getattr(error, "column", None)
        where = f" (line {line}, column {column})" if line and column else ""
        return f"this is not a CEL expression{where}"
    return ""


def applies(source: str, values: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a rule with this condition applies, and why.

    A condition that cannot be evaluated, or whose value is neither true nor false, applies: a
    rule can only make things stricter, so doubt must not switch it off.

    Args:
        source: the expression.
        values: what its names stand for, as JSON values.
    """
    # About 0.3 s, which only policies with conditions should pay.
    from celpy.adapter import json_to_cel
    from celpy.celtypes import BoolType

    try:
        activation = {name: json_to_cel(value) for name, value in values.items()}
        found = _program(source).evaluate(activation)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, the rule applies
        reason = error.args[0] if error.args else type(error).__name__
        brief = one_line(str(reason).split(" (in activation")[0], 120)
        return True, f"the condition cannot be evaluated ({brief})"
    if not isinstance(found, BoolType):
        return True, "the condition is neither true nor false"
    return bool(found), f"the condition is {'true' if found else 'false'}"


@functools.lru_cache(maxsize=256)
def _program(source: str) -> Any:
    """The compiled expression; compiling costs milliseconds, and the first one 0.2 s."""
    import celpy

    environment = celpy.Environment()
    return environment.program(environment.compile(source))
