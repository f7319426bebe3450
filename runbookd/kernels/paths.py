"""Which requests a connector lets through: verbs and paths, compared only when they are plain.

A path that two programs could read differently (encoded slashes, dots, doubled encodings, empty
segments, parameters after a semicolon) is refused, not interpreted: what was compared is then
exactly what the upstream gets. Terms follow RFC 3986, section 3.3, and RFC 9110, section 9.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from runbookd.errors import PolicyError

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_RULE = re.compile(r"([A-Z]+) (/\S*)")
# What RFC 3986 allows in a segment, less the semicolon.
_SEGMENT_SAFE = "!$&'()*+,=:@-._~"
_SEPARATORS = frozenset("/\\;?#%")

# These reach further than a request: a tunnel, and an echo of the credentials that were added.
_NEVER = frozenset({"CONNECT", "TRACE"})


class NotPlain(ValueError):
    """The path could be read in more than one way; the text says how."""


@dataclass(frozen=True)
class Allowed:
    """One line of a connector's allow-list: a verb and a path pattern.

    In the pattern ``*`` stands for any characters within a segment; as the whole last segment it
    stands for all that follows, also nothing.
    """

    verb: str
    pattern: str

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """The rule written as ``GET /api/*``.

        Raises:
            PolicyError: it is no upper-case verb and plain absolute path.
        """
        found = _RULE.fullmatch(text)
        if found is None or found[1] in _NEVER:
            raise PolicyError(
                f"{text!r} is not a verb and a path that a connector can allow",
                'write them like "GET /api/*" or "POST /admin/pool"',
            )
        try:
            if plain_path(found[2].encode()) != found[2]:
                raise NotPlain("it is written with escapes")
        except NotPlain as error:
            raise PolicyError(
                f"the path in {text!r} is not plain: {error}", "write it unescaped"
            ) from None
        return cls(found[1], found[2])

    def __str__(self) -> str:
        return f"{self.verb} {self.pattern}"

    def covers(self, method: str, path: str) -> bool:
        """Whether a request with this method and plain path is allowed; HEAD goes with GET."""
        if self.verb != ("GET" if method == "HEAD" else method):
            return False
        *parts, last = self.pattern.split("/")
        if last == "*":
            expression = _expression(parts) + "(?:/.*)?" if parts != [""] else "/.*"
        else:
            expression = _expression([*parts, last])
        return re.fullmatch(expression, path, re.DOTALL) is not None


def is_allowed(rules: Iterable[Allowed], method: str, path: str) -> bool:
    """Whether any rule covers the request. No rules, no requests."""
    return method not in _NEVER and any(rule.covers(method, path) for rule in rules)


def plain_path(raw: bytes) -> str:
    """The path of a request target, percent-decoded once.

    Raises:
        NotPlain: it does not start with a slash, or could be read in more than one way.
    """
    if not raw.startswith(b"/"):
        raise NotPlain("it does not start with a slash")
    if b"%" in _ESCAPE.sub(b"", raw):
        raise NotPlain("a percent sign that escapes nothing")
    segments = []
    for part in raw.split(b"/")[1:]:
        decoded = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), part)
        try:
            segments.append(decoded.decode("utf-8"))
        except UnicodeDecodeError:
            raise NotPlain("it is not UTF-8") from None
    for place, segment in enumerate(segments):
        if any(char in _SEPARATORS for char in segment):
            raise NotPlain("a slash, backslash, semicolon, question mark, hash or percent sign")
        if not segment.isprintable():
            raise NotPlain("a control or invisible character")
        if segment in {".", ".."}:
            raise NotPlain("a dot segment")
        if not segment and place != len(segments) - 1:
            raise NotPlain("an empty segment")
    return "/" + "/".join(segments)


def encoded(path: str) -> str:
    """A plain path as it is sent: the one encoding of :func:`plain_path`'s result."""
    return quote(path, safe="/" + _SEGMENT_SAFE)


def overrides_method(query: bytes) -> bool:
    """Whether a query asks the upstream to take the request for another method."""
    names = (pair.partition(b"=")[0] for pair in re.split(rb"[&;]", query))
    plain = (_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), name) for name in names)
    return any(name.lower().strip() in {b"_method", b"x-http-method-override"} for name in plain)


def _expression(segments: list[str]) -> str:
    return "/".join(re.escape(segment).replace(r"\*", "[^/]*") for segment in segments)
