"""The small values that policies are written in: durations, sizes, names, globs, references."""

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StringConstraints
from pydantic_core import PydanticCustomError

from runbookd.errors import InputError
from runbookd.secrets import parse_secret_ref

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_MAX_SECONDS = 10 * 366 * 86400
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


def _problem(kind: str, message: str) -> PydanticCustomError:
    # Never with the value: what stands in the wrong place may be a secret.
    return PydanticCustomError(kind, "{problem}", {"problem": message})


def _with_unit(value: Any, units: dict[str, int], kind: str, example: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([A-Za-z]+)", value) if isinstance(value, str) else None
    if found is None or found[2] not in units:
        raise _problem(kind, f"write a number with a unit ({', '.join(units)}), such as {example}")
    return int(found[1]) * units[found[2]]


def _seconds(value: Any) -> int:
    seconds = _with_unit(value, _SECONDS, "duration", "15m")
    if not 0 < seconds <= _MAX_SECONDS:
        raise _problem("duration", "a duration is more than nothing and at most ten years")
    return seconds


def _bytes(value: Any) -> int:
    size = _with_unit(value, _BYTES, "size", "64MiB")
    if size == 0:
        raise _problem("size", "a size is more than nothing")
    return size


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _secret(value: str) -> str:
    try:
        return str(parse_secret_ref(value))
    except InputError as error:
        raise _problem("secret", str(error)) from None


def _upstream(value: str) -> str:
    wrong = "write http:// or https://, a host, and a path if needed"
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        raise _problem("url", wrong) from None
    if url.scheme not in {"http", "https"} or not url.hostname or port == 0:
        raise _problem("url", wrong)
    if url.username is not None or url.password is not None:
        raise _problem("url", "an address holds no user or password; use credential:")
    if url.query or url.fragment or not value.isascii() or re.search(r"[\s\\]", value):
        raise _problem("url", wrong)
    return value.rstrip("/")


def _allowance(value: str) -> str:
    method, _, path = value.partition(" ")
    if method not in _METHODS:
        raise _problem("allow", f"start with one of {', '.join(sorted(_METHODS))}")
    # Only what can be read in one way: the proxy compares paths as they are.
    odd = re.search(r"[\s?#%;\\\[\]]|//|/\.\.?(/|$)", path)
    if not path.startswith("/") or not path.isascii() or odd:
        raise _problem("allow", 'write a method, a space and a path, such as "GET /orders/*"')
    return value


def _endpoint(value: str) -> str:
    host, _, port = value.rpartition(":")
    name = re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]", host)
    if name is None or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise _problem("endpoint", 'write a host and a port, such as "db.internal:5432"')
    return value


def _absolute(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value.startswith("/") or "\0" in value or ".." in value.split("/"):
        raise _problem("path", "write an absolute path without ..")
    return Path(re.sub("/+", "/", value))


def _not_root(value: Path) -> Path:
    if value == Path("/"):
        raise _problem("path", "the whole file system cannot be opened for writing; name folders")
    return value


def _pattern(value: str) -> str:
    try:
        empty = re.compile(value).search("") is not None
    except (re.error, RecursionError, OverflowError):
        raise _problem("pattern", "this is not a regular expression") from None
    if empty:
        raise _problem("pattern", "this pattern also matches nothing at all")
    return value


def _person(value: str) -> str:
    if value == "runbookd":
        raise _problem("person", "runbookd is the name of the daemon itself")
    return value


Duration = Annotated[int, BeforeValidator(_seconds)]
"""Seconds, written as ``60s``, ``15m``, ``24h`` or ``400d``."""

Size = Annotated[int, BeforeValidator(_bytes)]
"""Bytes, written as ``512B``, ``64MiB`` or ``1GiB``."""

Count = Annotated[StrictInt, Field(ge=1, le=10_000)]

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""A group, a rule, an OS user: ASCII, so that it can stand in a record and no two look alike."""

Person = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$", max_length=100),
    AfterValidator(_person),
]
"""A person's name in the policy. Without a colon: ``os:`` and ``slack:`` mark unknown ones."""

ConnectorName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
"""A connector: it becomes the variable of the same name in capitals, with ``_`` for ``-``."""

SlackUser = Annotated[str, StringConstraints(pattern=r"^[UW][A-Z0-9]+$")]
SlackGroup = Annotated[str, StringConstraints(pattern=r"^S[A-Z0-9]+$")]
OsUser = Annotated[str, StringConstraints(pattern=r"^[^\s:/\x00-\x1f]+$", max_length=256)]
Globs = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_one_or_many)]
SecretText = Annotated[str, AfterValidator(_secret)]
"""A secret *reference*, such as ``keyring:checkout/admin``."""

Upstream = Annotated[str, AfterValidator(_upstream)]
Allowance = Annotated[str, AfterValidator(_allowance)]
"""``METHOD /path``; ``*`` stands for anything in a segment, and at the end for all that follows."""

Endpoint = Annotated[str, AfterValidator(_endpoint)]
AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
WritablePath = Annotated[AbsolutePath, AfterValidator(_not_root)]
Pattern = Annotated[str, AfterValidator(_pattern)]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
