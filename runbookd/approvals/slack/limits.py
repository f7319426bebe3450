"""What Slack takes, and how much of it we use.

https://docs.slack.dev/reference/block-kit/blocks lists the limits of single texts. How much all
blocks of a message may hold together is not documented: Slack answers ``msg_blocks_too_long``
somewhere above 13,200 characters, and counts more than the texts. So the budget is for the whole
JSON in bytes, with ``& < >`` counted as escaped: never less than Slack can count.
"""

import json
from collections.abc import Callable
from typing import Any

TEXT = 2_900
"""One text; Slack says 3,000."""

HEADER = 150
CONFIRM_TEXT = 300
BLOCKS = 50
MESSAGE = 13_000
"""All blocks of a message."""

OUTCOME = 4_200
"""Kept free for what changes after posting, so that every later update fits as well."""

MODAL_BLOCKS = 100
MODAL = 240_000
"""All of a modal; Slack says 250 kB (``view_too_large``)."""

REASON = 500

_ESCAPED = {"&": 4, "<": 3, ">": 3}


def weight(value: Any) -> int:
    """How much a JSON value counts, at most, in Slack's eyes: bytes of its escaped compact JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode()) + sum(more * text.count(char) for char, more in _ESCAPED.items())


def length(text: str) -> int:
    """How long a single text counts, at most: UTF-16 units, with ``& < >`` escaped."""
    units = len(text.encode("utf-16-le")) // 2
    return units + sum(more * text.count(char) for char, more in _ESCAPED.items())


def clip(text: str, most: int, measure: Callable[[str], int] = weight) -> str:
    """``text``, or as much of its start as fits with an ellipsis when it measures too much."""
    if measure(text) <= most:
        return text
    return text[: _longest(text, most, lambda start: measure(start + "…"))] + "…"


def pieces(text: str, most: int = TEXT) -> list[str]:
    """``text`` in pieces of at most ``most`` (:func:`length`), which joined give it back.

    They end after a line feed where a line is not longer than that.
    """
    found: list[str] = []
    piece, size = "", 0
    for each in text.splitlines(keepends=True):
        more = length(each)
        if piece and size + more > most:
            found.append(piece)
            piece, size = "", 0
        while more > most:
            cut = _longest(each, most, length)
            found.append(each[:cut])
            each = each[cut:]
            more = length(each)
        piece, size = piece + each, size + more
    if piece:
        found.append(piece)
    return found


def _longest(text: str, most: int, measure: Callable[[str], int]) -> int:
    """How many characters of ``text``, at least one, measure at most ``most``."""
    low, high = 1, min(len(text), most)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle]) <= most:
            low = middle
        else:
            high = middle - 1
    return low
