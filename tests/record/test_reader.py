"""A line is exactly what the writer would have written, or it has a name for what is wrong."""

import io
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from runbookd.canonical import canonical
from runbookd.errors import RecordError
from runbookd.record.reader import MAX_LINE, SENTENCES, Defect, parse_line, read, scan

from .world import whole_session

GOOD = canonical(
    {
        "actor": {"auth": "peercred", "id": "alice", "kind": "person"},
        "boot": "b",
        "data": {"text": "ü"},
        "log": "l",
        "mono": 1,
        "prev": "0" * 64,
        "seq": 0,
        "ts": "2026-11-24T02:07:31.000000Z",
        "type": "note.added",
        "v": 1,
    }
)

BAD: list[tuple[Defect, bytes]] = [
    ("blank", b""),
    ("bom", b"\xef\xbb\xbf" + GOOD),
    ("crlf", GOOD + b"\r"),
    ("nul", GOOD.replace(b"alice", b"ali\0e")),
    ("nul", b"\0" * 100),
    ("not-utf8", GOOD.replace(b"alice", b"ali\xffe")),
    ("not-utf8", GOOD.replace(b"alice", b"\xed\xa0\x80")),
    ("not-json", GOOD[:-1]),
    ("not-json", GOOD + b"x"),
    ("not-json", GOOD + GOOD),
    ("not-json", b"[]"),
    ("not-json", b"null"),
    ("not-json", b"[" * 100_000),
    ("duplicate-key", GOOD.replace(b'"seq":0', b'"seq":0,"seq":0')),
    ("duplicate-key", GOOD.replace(b'"id":"alice"', b'"id":"alice","id":"dana"')),
    ("duplicate-key", GOOD.replace(b'"seq":0', b'"seq":0,"s\\u0065q":1')),
    ("float", GOOD.replace(b'"mono":1', b'"mono":1.0')),
    ("float", GOOD.replace(b'"mono":1', b'"mono":1e0')),
    ("float", GOOD.replace(b'"mono":1', b'"mono":NaN')),
    ("float", GOOD.replace(b'"mono":1', b'"mono":-Infinity')),
    ("not-canonical", GOOD.replace(b'"mono":1', b'"mono": 1')),
    ("not-canonical", GOOD.replace(b'"mono":1', b'"mono":-0')),
    ("not-canonical", GOOD.replace(b'"mono":1', b'"mono":9007199254740992')),
    ("not-json", GOOD.replace(b'"mono":1', b'"mono":' + b"9" * 5000)),
    ("not-canonical", b" " + GOOD),
    ("not-canonical", GOOD.replace("ü".encode(), b"\\u00fc")),
    ("not-canonical", GOOD.replace("ü".encode(), b"\\ud800")),
    ("not-canonical", GOOD.replace(b'"v":1', b'"v":1,"a":2')),
    ("not-an-event", b"{}"),
    ("not-an-event", GOOD.replace(b"note.added", b"note.erased")),
    ("not-an-event", GOOD.replace(b'"v":1', b'"v":2')),
    ("not-an-event", GOOD.replace(b'"v":1', b'"v":1,"x":2')),
    ("not-an-event", GOOD.replace(b'"text":', b'"txt":')),
    ("not-an-event", GOOD.replace(b'"data":{"text":"', b'"data":{"more":1,"text":"')),
]


def test_a_good_line_is_an_event() -> None:
    line = parse_line(3, GOOD)
    assert line.defect is None
    assert line.recorded is not None
    assert canonical(line.recorded.to_json()) == GOOD
    assert (line.number, line.raw) == (3, GOOD)


@pytest.mark.parametrize(("defect", "raw"), BAD)
def test_every_deviation_has_a_name(defect: Defect, raw: bytes) -> None:
    line = parse_line(0, raw)
    assert (line.defect, line.recorded) == (defect, None)


def test_every_defect_is_tested_and_has_a_sentence() -> None:
    assert {defect for defect, _ in BAD} | {"unterminated", "too-long"} == set(SENTENCES)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_no_single_byte_can_be_changed_into_the_same_event(place: int, byte: int) -> None:
    changed = GOOD[:place] + bytes([byte]) + GOOD[place + 1 :]
    if changed != GOOD:
        assert parse_line(0, changed).recorded != parse_line(0, GOOD).recorded


@given(st.binary(max_size=60))
def test_no_bytes_make_the_reader_stumble(raw: bytes) -> None:
    for line in scan(io.BytesIO(raw)):
        assert line.defect in SENTENCES


def test_an_unterminated_last_line_is_named() -> None:
    lines = list(scan(io.BytesIO(GOOD + b"\n" + GOOD)))
    assert [line.defect for line in lines] == [None, "unterminated"]
    assert lines[1].raw == GOOD


def test_a_line_that_is_too_long_is_not_kept_in_memory() -> None:
    long = b"x" * (3 * MAX_LINE)
    lines = list(scan(io.BytesIO(long + b"\n" + GOOD + b"\n")))
    assert [(line.number, line.defect) for line in lines] == [(0, "too-long"), (1, None)]
    assert len(lines[0].raw) == MAX_LINE


async def test_a_whole_session_is_read(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    await whole_session(tmp_path, key)
    found = list(read(tmp_path / "record.jsonl"))
    assert [recorded.seq for _, recorded in found] == list(range(16))
    assert all(json.loads(raw) == recorded.to_json() for raw, recorded in found)


def test_reading_stops_at_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_bytes(GOOD + b"\n" + b"{}\n")
    lines = read(path)
    assert next(lines)[0] == GOOD
    with pytest.raises(RecordError, match="line 1: the line is not an event"):
        next(lines)
    with pytest.raises(RecordError, match="cannot be read"):
        next(read(tmp_path / "nothing"))
