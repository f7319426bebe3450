"""Within its limits, our canonical JSON is RFC 8785."""

import hashlib
import json
import sys

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from runbookd.canonical import MAX_INTEGER, NotCanonical, canonical, digest, sha256

KEYS = st.text(st.characters(max_codepoint=0x7F))
SCALARS = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=30,
)


@given(VALUES)
def test_it_is_rfc_8785(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@given(VALUES)
def test_it_is_json_and_stays_the_same(value: object) -> None:
    assert json.loads(canonical(value)) == value
    assert canonical(json.loads(canonical(value))) == canonical(value)


def test_every_character_is_written_as_rfc_8785_writes_it() -> None:
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    assert canonical(text) == rfc8785.dumps(text)


def test_keys_are_sorted_and_tuples_are_arrays() -> None:
    assert canonical({"b": (1, 2), "a": None, "B": "ü"}) == '{"B":"ü","a":null,"b":[1,2]}'.encode()


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        {"ü": 1},
        {1: 1},
        {"a": [{"b": 0.5}]},
        "\ud800",
        {"a": "\udfff"},
        b"bytes",
        {1, 2},
        object(),
    ],
)
def test_what_has_no_form_of_its_own_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical(value)


def test_the_limits_are_inclusive() -> None:
    assert canonical([MAX_INTEGER, -MAX_INTEGER]) == b"[9007199254740991,-9007199254740991]"


def test_the_digest_is_sha256_of_those_bytes() -> None:
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()
    assert sha256("ü") == hashlib.sha256("ü".encode()).hexdigest()
    assert sha256(b"x") == hashlib.sha256(b"x").hexdigest()
