"""Reading ``record.jsonl``, strictly: a line is exactly what the writer would have written.

Two texts that parsers may take for the same object (a key twice, a float, another order, a byte
order mark) are one way to show different people different records. So every deviation has a name
and is an error.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import ValidationError

from runbookd.canonical import NotCanonical, canonical
from runbookd.errors import RecordError
from runbookd.events import Recorded

MAX_LINE = 1_048_576
"""The longest line, in bytes, with its line feed."""

Defect = Literal[
    "unterminated",
    "too-long",
    "blank",
    "bom",
    "crlf",
    "nul",
    "not-utf8",
    "not-json",
    "duplicate-key",
    "float",
    "not-canonical",
    "not-an-event",
]
"""What can be wrong with a line by itself."""

SENTENCES: dict[Defect, str] = {
    "unterminated": "the last line does not end in a line feed",
    "too-long": f"the line is longer than {MAX_LINE} bytes",
    "blank": "the line is empty",
    "bom": "the line begins with a byte order mark",
    "crlf": "the line ends in a carriage return",
    "nul": "the line holds a NUL byte",
    "not-utf8": "the line is not UTF-8",
    "not-json": "the line is not one JSON object",
    "duplicate-key": "an object holds the same key twice",
    "float": "the line holds a number that is not an integer",
    "not-canonical": "the line is not in canonical form (RFC 8785)",
    "not-an-event": "the line is not an event that this version knows",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a record as it stands in the file.

    Attributes:
        number: counted from 0; the ``seq`` that it should have.
        raw: the bytes without the line feed; of a line that is too long only the beginning.
        recorded: the event, or None when there is a defect.
        defect: what is wrong, or None.
    """

    number: int
    raw: bytes
    recorded: Recorded | None
    defect: Defect | None


def scan(file: BinaryIO) -> Iterator[Line]:
    """Every line of an open record, sound or not, in bounded memory."""
    number = 0
    while chunk := file.readline(MAX_LINE):
        if chunk.endswith(b"\n"):
            yield parse_line(number, chunk[:-1])
        elif len(chunk) < MAX_LINE:
            yield Line(number, chunk, None, "unterminated")
        else:
            yield Line(number, chunk, None, "too-long")
            while chunk and not chunk.endswith(b"\n"):
                chunk = file.readline(MAX_LINE)
        number += 1


def read(path: Path) -> Iterator[tuple[bytes, Recorded]]:
    """The lines of a record (without line feed) and their events.

    This says nothing about the chain and the signatures: see :mod:`runbookd.record.verify`.

    Raises:
        RecordError: the file cannot be read, or at the first line that is not sound.
    """
    try:
        with path.open("rb") as file:
            for line in scan(file):
                yield line.raw, sound(line, path)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error


def sound(line: Line, path: Path) -> Recorded:
    """The event of a line of ``path``.

    Raises:
        RecordError: the line has a defect.
    """
    if line.recorded is None:
        why = SENTENCES[line.defect] if line.defect else "it cannot be read"
        raise RecordError(f"{path}, line {line.number}: {why}", "look with runbookd verify")
    return line.recorded


def parse_line(number: int, raw: bytes) -> Line:
    """A whole line, given without its line feed."""
    try:
        return Line(number, raw, parse(raw), None)
    except LineDefect as error:
        return Line(number, raw, None, error.defect)


class LineDefect(ValueError):
    """A line is not what the writer would have written."""

    def __init__(self, defect: Defect) -> None:
        super().__init__(SENTENCES[defect])
        self.defect: Defect = defect


def parse(raw: bytes) -> Recorded:
    """The event in a line's bytes, without line feed.

    Raises:
        LineDefect: the bytes are not exactly one canonical event.
    """
    value = _parse_json(raw)
    try:
        same = canonical(value) == raw
    except (NotCanonical, RecursionError):
        same = False
    if not same:
        raise LineDefect("not-canonical")
    try:
        return Recorded.from_json(value)
    except (ValidationError, TypeError):
        raise LineDefect("not-an-event") from None


def _parse_json(raw: bytes) -> dict[str, Any]:
    if not raw:
        raise LineDefect("blank")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise LineDefect("bom")
    if raw.endswith(b"\r"):
        raise LineDefect("crlf")
    if b"\0" in raw:
        raise LineDefect("nul")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise LineDefect("not-utf8") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_float=_no_float, parse_constant=_no_float
        )
    except LineDefect:
        raise
    except (ValueError, RecursionError):
        raise LineDefect("not-json") from None
    if not isinstance(value, dict):
        raise LineDefect("not-json")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise LineDefect("duplicate-key")
    return found


def _no_float(_text: str) -> Any:
    raise LineDefect("float")
