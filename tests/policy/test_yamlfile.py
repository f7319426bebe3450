"""Policy files are read without YAML's surprises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookd.errors import PolicyError
from runbookd.policy.yamlfile import MAX_BYTES, read_yaml


def read(text):
    return read_yaml(text.encode(), "a.yaml").value


@pytest.mark.parametrize(
    "text", ["on", "off", "yes", "no", "y", "n", "NO", "True", "TRUE", "12:30", "2026-01-01", "0o7"]
)
def test_what_yaml_1_1_would_change_stays_text(text):
    assert read(f"a: {text}\n{text}: b") == {"a": text, text: "b"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("5", 5),
        ("-5", -5),
        ("0", 0),
        ("0755", "0755"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("[a, 1]", ["a", 1]),
        ("{b: {c: 1}}", {"b": {"c": 1}}),
    ],
)
def test_plain_values_are_what_they_look_like(text, value):
    assert read(f"a: {text}") == {"a": value}


def test_an_empty_file_holds_nothing():
    assert read("") is None
    assert read("# only a comment\n") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", r'line 3: the key "a" is already on line 1'),
        ("x:\n  a: 1\n  a: 1", 'line 3: the key "a"'),
        ("a: &x 1", "line 1: anchors"),
        ("a: 1\nb: *x", "line 2: anchors"),
        ("a: &x [*x]", "anchors"),
        ("a: !!python/object/apply:os.system [id]", "line 1: the tag .* is not allowed"),
        ("a: !!bool yes", "the tag"),
        ("a: !mine x", "the tag"),
        ("1: a", "line 1: a key must be text"),
        ("? [a]\n: b", "a key must be text"),
        ("a: [1,", "line 1"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
        ("a:\n\tb: 1", "line 2"),
        ("a: \x07", "special characters"),
        ("a: 99999999999999999999", "this number is too large"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text, problem):
    with pytest.raises(PolicyError, match=problem) as caught:
        read(text)
    assert str(caught.value).startswith("a.yaml")
    assert "\n" not in str(caught.value)


def test_a_merge_key_is_an_ordinary_key():
    assert read("<<: {a: 1}") == {"<<": {"a": 1}}


def test_an_alias_bomb_is_refused_at_once():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24)
    )
    with pytest.raises(PolicyError, match="anchors"):
        read(bomb)


def test_a_file_that_is_too_long_is_refused():
    with pytest.raises(PolicyError, match="longer than"):
        read_yaml(b"#" * (MAX_BYTES + 1), "a.yaml")


def test_a_file_that_is_not_utf_8_names_the_line():
    with pytest.raises(PolicyError, match="line 2: not UTF-8"):
        read_yaml(b"a: 1\nb: \xff\n", "a.yaml")


def test_a_byte_order_mark_is_passed_over():
    assert read_yaml(b"\xef\xbb\xbfa: 1", "a.yaml").value == {"a": 1}


def test_lines_are_known_for_keys_and_items_and_the_nearest_around_others():
    found = read_yaml(b"a:\n  b: 1\n  c:\n    - x\n    - y\n", "a.yaml")
    assert found.line(("a", "b")) == 2
    assert found.line(("a", "c", 1)) == 5
    assert found.line(("a", "missing", 7)) == 1
    assert found.line(()) == 1


@given(st.text() | st.binary())
def test_anything_is_read_or_refused(text):
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        found = read_yaml(data, "a.yaml")
    except PolicyError:
        return
    assert found.line(()) >= 1
