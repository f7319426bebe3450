"""Redaction patterns: regular expressions that also know when a match may still be coming.

A stream brings text in chunks, so besides "does it match here?" one has to ask "could what stands
at the end of the text be the beginning of a match?". Python's ``re`` cannot tell. For a pattern
made of plain parts the answer is itself a regular expression: for ``ab+c`` it is ``a`` at the end,
or ``ab*`` at the end. :func:`compile_pattern` reads the pattern and builds both.

The parts understood: characters, ``\\d \\w \\s`` and their opposites, escapes of punctuation and
``\\n \\r \\t \\xhh``, ``[...]``, ``.``, ``\\b``, groups ``(...)``, ``(?:...)`` and ``(?i:...)``,
alternatives, and the repeats ``? * + {m} {m,} {m,n}``, also lazy. Look-around, back references and
anchors are refused: their meaning depends on what lies outside the match.
"""

import re
from dataclasses import dataclass

from runbookd.errors import InputError

UNBOUNDED = 16_384
"""What ``*``, ``+`` and ``{m,}`` mean: up to so many. A secret has an end, so has a hold."""

_MAX_WIDTH = 1_048_576
_END = r"\Z"
_NEVER = r"(?!)"
_ATOM = re.compile(
    r"\\(?:[dwsDWSnrt]|x[0-9a-fA-F]{2}|[^\w\s])"
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]"
    r"|[^\\\[\](){}|?*+^$]",
    re.DOTALL,
)
_REPEAT = re.compile(r"(?:([?*+])|\{(\d{1,6})(?:(,)(\d{1,6})?)?\})(\??)")
_GROUP = re.compile(r"\((?:\?(i?):)?(?!\?)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A rule that redacts whatever looks like a certain kind of secret.

    Attributes:
        rule: the name that the mark shows.
        full: matches such a secret.
        partial: matches, from some place up to the end of the text, what may become one. (A
            match of nothing at the very end of the text says nothing.)
        width: the longest possible match, in characters.
    """

    rule: str
    full: re.Pattern[str]
    partial: re.Pattern[str]
    width: int


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a pattern, as regular expressions.

    ``partial`` matches what may become it, up to the end of the text, and ``begun`` the same where
    at least one character is there already (None: that cannot be). Keeping the empty beginning
    apart lets ``re`` skip quickly to places that can begin a match.
    """

    full: str
    partial: str
    begun: str | None
    least: int
    most: int


def compile_pattern(rule: str, text: str) -> Pattern:
    """The pattern of a rule.

    Args:
        rule: its name.
        text: a regular expression of the parts that this module lists.

    Raises:
        InputError: the pattern cannot be understood, may match nothing at all, or is too wide.
    """
    try:
        node = _Parser(text).parse()
        full = re.compile(node.full)
        partial = re.compile(node.begun or _NEVER)
    except (_Unsupported, re.error, RecursionError) as error:
        raise InputError(
            f"redaction pattern {rule!r} cannot be used: {error}",
            "use characters, classes, groups, alternatives and repeats only",
        ) from None
    if node.least == 0:
        raise InputError(
            f"redaction pattern {rule!r} matches the empty text", "make it ask for something"
        )
    if node.most > _MAX_WIDTH:
        raise InputError(
            f"redaction pattern {rule!r} may match {node.most} characters",
            "give its repeats an upper bound",
        )
    return Pattern(rule, full, partial, node.most)


class _Unsupported(ValueError):
    """A part that the partial form cannot be made of."""


class _Parser:
    """Reads a pattern from left to right, building the full and the partial form together."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> _Node:
        node = self._alternatives()
        if self._at < len(self._text):
            raise self._unsupported()
        return node

    def _alternatives(self) -> _Node:
        nodes = [self._sequence()]
        while self._text.startswith("|", self._at):
            self._at += 1
            nodes.append(self._sequence())
        if len(nodes) == 1:
            return nodes[0]
        return _Node(
            _one_of(*(node.full for node in nodes)),
            _one_of(*(node.partial for node in nodes)),
            _either(*(node.begun for node in nodes)),
            min(node.least for node in nodes),
            max(node.most for node in nodes),
        )

    def _sequence(self) -> _Node:
        nodes: list[_Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            nodes.append(self._repeated(self._part()))
        # What may become "a then b": what may become a, or a and then what may become b.
        partial: str | None = None
        begun: str | None = None
        for node in reversed(nodes):
            rest = None if partial is None else f"{node.full}{partial}"
            partial, begun = _one_of(node.partial, rest), _either(node.begun, rest)
        return _Node(
            "".join(node.full for node in nodes),
            _END if partial is None else partial,
            begun,
            sum(node.least for node in nodes),
            sum(node.most for node in nodes),
        )

    def _part(self) -> _Node:
        if self._text.startswith(r"\b", self._at):
            self._at += 2
            # At the end of the text nobody knows yet whether the word goes on.
            return _Node(r"\b", _END, None, 0, 0)
        if found := self._take(_GROUP):
            inner = self._alternatives()
            if not self._text.startswith(")", self._at):
                raise _Unsupported("a group is not closed")
            self._at += 1
            flag = found.group(1) or ""
            return _Node(
                f"(?{flag}:{inner.full})",
                f"(?{flag}:{inner.partial})",
                f"(?{flag}:{inner.begun})" if inner.begun else None,
                inner.least,
                inner.most,
            )
        if found := self._take(_ATOM):
            return _Node(found.group(), _END, None, 1, 1)
        raise self._unsupported()

    def _repeated(self, node: _Node) -> _Node:
        found = self._take(_REPEAT)
        if not found:
            return node
        sign, low, comma, high, lazy = found.groups()
        if sign:
            least, most = {"?": (0, 1), "*": (0, UNBOUNDED), "+": (1, UNBOUNDED)}[sign]
        else:
            least = int(low)
            most = int(high) if high else UNBOUNDED if comma else least
        if least > most or most == 0 or node.most == 0:
            raise _Unsupported(f"the repeat {found.group()} makes no sense here")
        again = f"(?:{node.full})"
        further = f"{again}{again}{{0,{most - 2}}}{lazy}{node.partial}" if most > 1 else None
        return _Node(
            f"{again}{{{least},{most}}}{lazy}",
            _one_of(node.partial, further),
            _either(node.begun, further),
            least * node.least,
            most * node.most,
        )

    def _take(self, token: re.Pattern[str]) -> re.Match[str] | None:
        found = token.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _unsupported(self) -> _Unsupported:
        return _Unsupported(f"{self._text[self._at : self._at + 8]!r} is not understood")


def _one_of(*parts: str | None) -> str:
    """The parts as alternatives; at least one is there."""
    return f"(?:{'|'.join(part for part in parts if part is not None)})"


def _either(*parts: str | None) -> str | None:
    """The parts as alternatives, or None when there is none."""
    return None if all(part is None for part in parts) else _one_of(*parts)
