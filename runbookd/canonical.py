"""Canonical JSON (RFC 8785) for the values that runbookd digests and signs.

Only what needs no number formatting is allowed: ASCII keys, strings without lone surrogates,
integers up to 2**53 - 1, booleans, null, arrays and objects. Within that, sorted compact JSON is
RFC 8785, which a test shows against an independent implementation. Values that may hold more
(a parameter, an input read from a kernel) travel as JSON *text*:
:data:`~runbookd.model.JsonText`.
"""

import hashlib
import json
from typing import Any

MAX_INTEGER = 2**53 - 1


class NotCanonical(ValueError):
    """The value cannot be written as canonical JSON."""


def canonical(value: Any) -> bytes:
    """The canonical JSON bytes of ``value``.

    Raises:
        NotCanonical: a float, a too large integer, a non-ASCII key or a lone surrogate.
    """
    _check(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotCanonical("a string holds a lone surrogate") from error


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of ``value``, 64 lower-case hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256(data: bytes | str) -> str:
    """SHA-256 of bytes, or of text in UTF-8, as 64 lower-case hex digits."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()


def _check(value: Any) -> None:
    match value:
        case None | bool() | str():
            return
        case int():
            if abs(value) > MAX_INTEGER:
                raise NotCanonical(f"the integer {value} is beyond 2^53-1")
        case list() | tuple():
            for item in value:
                _check(item)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str) or not key.isascii():
                    raise NotCanonical(f"the key {key!r} is not ASCII text")
                _check(item)
        case _:
            raise NotCanonical(f"a {type(value).__name__} has no canonical form")
