"""Values cross the border of a kernel as canonical JSON, or not at all."""

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbookd.errors import CommandRefused, RunbookError
from runbookd.kernels.values import (
    LIMIT,
    bash_answer,
    bash_bind,
    bash_read,
    canonical_text,
    check_names,
    python_answer,
    python_bind,
    python_read,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)
BASH_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)


def canonical(value: Any) -> str:
    return canonical_text(json.dumps(value), "x")


def in_python(space: dict[str, Any], expression: str) -> dict[str, Any]:
    """What a Python kernel answers to an expression."""
    try:
        value = eval(expression, space)
    except Exception as error:
        return {"status": "error", "ename": type(error).__name__, "evalue": str(error)}
    return {"status": "ok", "data": value._repr_mimebundle_()}


def in_bash(source: str) -> str:
    """What Bash prints; output and errors together, as through a terminal."""
    return subprocess.run(
        ["/bin/bash", "--norc"],
        input=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    ).stdout


@given(JSON)
def test_python_gives_back_what_was_bound(value: Any) -> None:
    text = canonical(value)
    space: dict[str, Any] = {}
    exec(python_bind({"pool": text}), space)
    assert space["pool"] == value
    assert python_answer("pool", in_python(space, python_read(["pool"])["pool"])) == text


@given(
    BASH_TEXT
    | st.lists(BASH_TEXT, max_size=4)
    | st.dictionaries(BASH_TEXT.filter(bool), BASH_TEXT, max_size=4)
)
@settings(max_examples=60, deadline=None)
def test_bash_gives_back_what_was_bound(value: Any) -> None:
    text = canonical(value)
    printed = in_bash(bash_bind({"pool": text}) + "\n" + bash_read(["pool"], "mark"))
    assert bash_answer("pool", "mark", printed) == text


def test_bash_holds_numbers_as_text_and_null_as_nothing() -> None:
    values = {"a": "40", "b": "true", "c": "null", "d": "1.5", "e": "[1,null]"}
    printed = in_bash(
        bash_bind(values)
        + "\nprintf '%s|' $((a + 2)) $b \"$c\" $d ${#e[@]}\n"
        + bash_read(values, "mark")
    )
    assert "42|true||1.5|2|" in printed
    assert {name: bash_answer(name, "mark", printed) for name in values} == {
        "a": '"40"',
        "b": '"true"',
        "c": '""',
        "d": '"1.5"',
        "e": '["1",""]',
    }


def test_bash_takes_long_values_in_short_lines() -> None:
    text = json.dumps("é'\"$(id)`!\\" * 4000)
    source = bash_bind({"x": text})
    assert max(map(len, source.splitlines())) < 4000
    printed = in_bash(source + "\n" + bash_read(["x"], "mark"))
    assert bash_answer("x", "mark", printed) == canonical_text(text, "x")


def test_binding_in_bash_replaces_what_was_there() -> None:
    before = "declare -A x=([k]=v); y=(1 2 3); z=5\n"
    values = {"x": '"a"', "y": '{"k":"v"}', "z": '["b"]'}
    printed = in_bash(before + bash_bind(values) + "\n" + bash_read(values, "mark"))
    assert {name: bash_answer(name, "mark", printed) for name in values} == values


def test_reading_in_bash_disturbs_nothing() -> None:
    source = (
        "x=1; __d=mine; __k=mine; __i=mine\n" + bash_read(["x"], "mark") + "\necho $__d$__k$__i"
    )
    assert in_bash(source).endswith("mineminemine\n")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("true", "no variable"),
        ("declare x", "no variable"),
        ("declare -a x", "no variable"),
        ("unset x", "no variable"),
        ("y=1; declare -n x=y", "reference"),
        ("x=$'\\xff'", "not text in UTF-8"),
        ("x=$(head -c 70000 /dev/zero | tr '\\0' a)", "limit"),
    ],
)
def test_what_bash_cannot_hand_over_is_refused(source: str, says: str) -> None:
    printed = in_bash(source + "\n" + bash_read(["x"], "mark"))
    with pytest.raises(CommandRefused, match=says):
        bash_answer("x", "mark", printed)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("export x=1", '"1"'),
        ("declare -i x=5", '"5"'),
        ("readonly x='a b'", '"a b"'),
        ("x=", '""'),
        ("x='-n'", '"-n"'),
        ("x=()", "[]"),
        ("declare -A x=()", "{}"),
        ("x=(); x[3]=b", '["b"]'),
        ("x='mark x text .aGk= mark'", '"mark x text .aGk= mark"'),
    ],
)
def test_bash_variables_of_all_kinds_are_read(source: str, text: str) -> None:
    printed = in_bash(source + "\n" + bash_read(["x"], "mark"))
    assert bash_answer("x", "mark", printed) == text


@pytest.mark.parametrize("text", ['[["a"]]', '{"a":{}}', '"\\u0000"', '{"":"a"}', '"\\ud800"'])
def test_what_bash_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(CommandRefused):
        bash_bind({"x": text})


def test_an_answer_that_never_came_is_refused() -> None:
    for printed in ("", "mark x text .%%% mark", "mark x text mark", "other x text .aGk= other"):
        with pytest.raises(CommandRefused):
            bash_answer("x", "mark", printed)
    for answer in (None, 5, {"status": "ok"}, {"status": "ok", "data": {"text/plain": 5}}):
        with pytest.raises(CommandRefused):
            python_answer("x", answer)


@pytest.mark.parametrize(
    "text",
    [
        "", "nul", "NaN", "[Infinity]", "-Infinity", '{"a":1,"a":2}', "1 2", "'x'", '"\\ud800"',
        "[" * 100_000, "9" * 5000, '"' + "x" * LIMIT + '"',
    ],
)  # fmt: skip
def test_what_is_not_one_small_json_value_is_refused(text: str) -> None:
    with pytest.raises(CommandRefused, match="the variable 'x'"):
        canonical_text(text, "x")


def test_the_canonical_text_is_sorted_compact_and_unicode() -> None:
    assert canonical_text(' { "b" : 1.0, "a" : "\\u00e9" } ', "x") == '{"a":"é","b":1.0}'


@pytest.mark.parametrize("language", ["python", "bash"])
@pytest.mark.parametrize("name", ["", "a b", "a;b", "1a", "a[0]", "$x", "x\n", "é", "a.b"])
def test_what_is_no_name_of_a_variable_is_refused(language: str, name: str) -> None:
    with pytest.raises(RunbookError):
        check_names([name], language)


def test_other_languages_hand_over_no_values() -> None:
    assert check_names([], "r") == ()
    with pytest.raises(RunbookError, match="not in 'r'"):
        check_names(["x"], "r")
