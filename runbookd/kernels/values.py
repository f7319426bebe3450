"""Values into and out of a kernel: the code that hands them over, and the reading of its answer.

Nothing here talks to a kernel. What a kernel answers is not trusted: it is parsed strictly, and
what is handed on is this module's own canonical text of it (sorted keys, no spaces, no NaN, no
duplicate keys, at most 64 KiB in UTF-8).

Python holds any JSON value. Bash holds text: a string, number or boolean becomes a variable (null
an empty one), a list an array, an object an associative array; on the way back everything is text.
"""

import base64
import binascii
import json
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any

from runbookd.errors import CommandRefused, RunbookError
from runbookd.model import JsonText

LIMIT = 64 * 1024
LANGUAGES = ("python", "bash")

_BASH_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Runs inside the kernel. The answer travels as an object with a representation of its own, so that
# no formatter of the notebook changes it.
_PYTHON_EXPORT = """
import json
class Box:
    def __init__(self, text):
        self.text = text
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.text}
    def __repr__(self):
        return self.text
def check(value):
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError("a key is of type " + type(key).__name__ + ", not text")
            check(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check(item)
def export(value):
    text = json.dumps(value, allow_nan=False, sort_keys=False, separators=(",", ":"))
    check(value)
    size = len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    if size > LIMIT * 2:
        raise OverflowError("it is about %d bytes of JSON" % size)
    return Box(text)
"""


def check_names(names: Iterable[str], language: str) -> tuple[str, ...]:
    """The names, if a kernel of this language can hold variables called so.

    Raises:
        RunbookError: a name that is no variable, or a language that hands over no values.
    """
    names = tuple(names)
    if names and language not in LANGUAGES:
        raise RunbookError(
            f"inputs and outputs work in {' and '.join(LANGUAGES)}, not in {language!r}",
            "let a cell of another runbook in one of these languages do this",
        )
    for name in names:
        valid = (
            name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
            if language == "python"
            else _BASH_NAME.fullmatch(name) is not None
        )
        if not valid:
            raise RunbookError(
                f"{name!r} is not a name of a {language} variable",
                "correct inputs and outputs in the cell's metadata",
            )
    return names


def canonical_text(text: str, name: str) -> JsonText:
    """``text``, if it is one JSON value within the limit, in its one canonical spelling.

    Raises:
        CommandRefused: it is not; says which variable ``name`` it was.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
        found = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        size = len(found.encode())
    except UnicodeEncodeError:
        raise _refused(name, "holds text that is not Unicode") from None
    except (ValueError, RecursionError):
        raise _refused(name, "is not a JSON value") from None
    if size > LIMIT:
        raise _refused(name, f"is {size} bytes of JSON, and {LIMIT} is the limit")
    return found


def python_read(names: Iterable[str]) -> dict[str, str]:
    """One expression a name, whose ``text/plain`` is the value's JSON text."""
    prelude = _PYTHON_EXPORT.replace("LIMIT", str(LIMIT))
    return {
        name: f"(lambda space: (exec({prelude!r}, space), space['export'])[1])({{}})({name})"
        for name in names
    }


def python_answer(name: str, answer: Any) -> JsonText:
    """The value in the answer to one expression of :func:`python_read`.

    Raises:
        CommandRefused: there is no such variable, or its value is not JSON.
    """
    if not isinstance(answer, Mapping):
        raise _refused(name, "was not handed over by the kernel")
    if answer.get("status") != "ok":
        kind, detail = str(answer.get("ename", "")), str(answer.get("evalue", ""))[:200]
        match kind:
            case "NameError":
                raise _missing(name)
            case "ValueError" if "JSON compliant" in detail:
                raise _refused(name, "holds NaN or an infinity, which JSON cannot say")
            case "OverflowError":
                raise _refused(name, f"is too large: {detail}, and {LIMIT} is the limit")
            case "TypeError":
                raise _refused(name, f"is not a JSON value: {detail}")
            case _:
                raise _refused(name, f"cannot be written as JSON: {kind}: {detail}")
    data = answer.get("data")
    text = data.get("text/plain") if isinstance(data, Mapping) else None
    if not isinstance(text, str):
        raise _refused(name, "was not handed over by the kernel")
    return canonical_text(text, name)


def python_bind(values: Mapping[str, JsonText]) -> str:
    """Python source that sets each variable to its value."""
    return "\n".join(
        f"{name} = __import__('json').loads({text!a})" for name, text in values.items()
    )


def bash_read(names: Iterable[str], mark: str) -> str:
    """Bash source that prints each variable between two ``mark`` s, its parts in base64.

    Args:
        names: variables.
        mark: a random word, by which the answer is told from anything else that is printed.
    """
    encode = "base64 | tr -d '\\n'"
    end = f"printf ' {mark}\\n';;"
    lines = ["("]
    for name in names:
        lines += [
            # The attributes stand between "declare -" and the name: a array, A map, n reference.
            f"__d=$(declare -p {name} 2>/dev/null)",
            "__k=${__d#declare -}; __k=${__k%% *}",
            f'case "$__d" in *" {name}="*) ;; *) __k=missing;; esac',
            'case "$__k" in',
            f"missing) printf '{mark} {name} missing {mark}\\n';;",
            f"*n*) printf '{mark} {name} other {mark}\\n';;",
            f"*a*) printf '{mark} {name} list'",
            f'for __i in "${{{name}[@]}}"; do printf " ."; printf %s "$__i" | {encode}; done',
            end,
            f"*A*) printf '{mark} {name} map'",
            f'for __i in "${{!{name}[@]}}"; do printf " ."; printf %s "$__i" | {encode}',
            f'printf " ."; printf %s "${{{name}[$__i]}}" | {encode}; done',
            end,
            f"*) printf '{mark} {name} text .'; printf %s \"${name}\" | {encode}",
            end,
            "esac",
        ]
    return "\n".join([*lines, ")"])


def bash_answer(name: str, mark: str, printed: str) -> JsonText:
    """The value of ``name`` in what the code of :func:`bash_read` printed.

    Raises:
        CommandRefused: there is no such variable, or it is not text.
    """
    found = re.search(rf"{mark} {name} (missing|other|list|map|text)((?: \.\S*)*) {mark}", printed)
    if found is None:
        raise _refused(name, "was not handed over by the kernel")
    kind = found[1]
    try:
        parts = [base64.b64decode(part[1:], validate=True).decode() for part in found[2].split()]
    except (binascii.Error, ValueError):
        raise _refused(name, "is not text in UTF-8") from None
    value: Any
    match kind, len(parts):
        case "missing", _:
            raise _missing(name)
        case "text", 1:
            value = parts[0]
        case "list", _:
            value = parts
        case "map", count if count % 2 == 0:
            value = dict(zip(parts[::2], parts[1::2], strict=True))
        case "other", _:
            raise _refused(name, "is a reference to another variable")
        case _:
            raise _refused(name, "was not handed over by the kernel")
    return canonical_text(json.dumps(value), name)


def bash_bind(values: Mapping[str, JsonText]) -> str:
    """Bash source that sets each variable, in lines that a terminal takes.

    Raises:
        CommandRefused: a value that Bash cannot hold: nested, or with a NUL character.
    """
    lines: list[str] = []
    for name, text in values.items():
        lines.append(f"unset -v {name}")
        match json.loads(text):
            case dict() as entries:
                lines.append(f"declare -A {name}=()")
                for key, item in entries.items():
                    if not key:
                        raise _refused(name, "has an empty key, which Bash cannot hold")
                    target = f"{name}[{_quoted(key, name)}]"
                    lines += _assignments(target, _plain(item, name), name)
            case list() as items:
                lines.append(f"declare -a {name}=()")
                for place, item in enumerate(items):
                    lines += _assignments(f"{name}[{place}]", _plain(item, name), name)
            case other:
                lines += _assignments(name, _plain(other, name), name)
    return "\n".join(lines)


def _assignments(target: str, text: str, name: str) -> list[str]:
    # Short lines: bash_kernel types the code into a terminal.
    pieces = [text[start : start + 200] for start in range(0, len(text), 200)] or [""]
    first, *rest = (_quoted(piece, name) for piece in pieces)
    return [f"{target}={first}", *(f"{target}+={piece}" for piece in rest)]


def _quoted(text: str, name: str) -> str:
    """ANSI-C quoting in which all but letters, digits and a few signs is written as bytes."""
    if "\0" in text:
        raise _refused(name, "holds a NUL character, which Bash cannot hold")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise _refused(name, "holds text that is not Unicode") from None
    safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _./:,@%+=-"
    return "$'" + "".join(chr(byte) if byte in safe else f"\\x{byte:02x}" for byte in data) + "'"


def _plain(value: Any, name: str) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            raise _refused(name, "is nested, and Bash holds only text, lists and flat objects")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _missing(name: str) -> CommandRefused:
    return CommandRefused(f"there is no variable {name!r}", "run the cell that sets it first")


def _refused(name: str, why: str) -> CommandRefused:
    return CommandRefused(
        f"the variable {name!r} {why}", "hand over a plain JSON value, for example text or a number"
    )
