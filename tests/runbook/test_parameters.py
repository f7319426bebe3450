"""Parameters: what was given is checked against what the runbook declares."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runbookd.errors import InputError
from runbookd.runbook.metadata import Parameter
from runbookd.runbook.notebook import read_runbook
from runbookd.runbook.parameters import describe, parse_assignment, resolve

BASE = read_runbook(Path(__file__).parent.parent / "notebooks" / "everything-that-is-allowed.ipynb")


def runbook(**parameters):
    return dataclasses.replace(
        BASE, parameters={name: Parameter(**each) for name, each in parameters.items()}
    )


def test_defaults_fill_what_was_not_given():
    assert resolve(BASE, {"region": '"eu-1"'}) == {
        "pool": "40",
        "region": '"eu-1"',
        "ratio": "1.5",
        "force": "false",
        "note": "null",
    }


def test_what_was_given_wins_over_the_default():
    assert resolve(BASE, {"region": '"eu-1"', "pool": " 80 "})["pool"] == "80"


def test_a_missing_value_names_the_parameter_and_how_to_give_it():
    with pytest.raises(InputError, match="needs a value for region; -p region=VALUE"):
        resolve(BASE, {})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"region": '"eu-1"', "pol": "1"}, r"has no parameter pol; did you mean pool\?"),
        ({"region": '"eu-1"', "zzz": "1"}, "has no parameter zzz; its parameters: pool, region"),
        ({"region": '"EU-1"'}, r"region does not match \[a-z\]"),
        ({"region": '"eu-1x"'}, "region does not match"),
        ({"region": '"eu-1\\n"'}, "region does not match"),
        ({"region": "5"}, "region is not a string"),
        ({"region": "null"}, "region is not a string"),
        ({"region": '"\\ud800"'}, "region is not valid text"),
        ({"region": '"eu-1"', "pool": "41"}, "pool is not one of 40, 80"),
        ({"region": '"eu-1"', "pool": "true"}, "pool is not an integer"),
        ({"region": '"eu-1"', "pool": "40.0"}, "pool is not an integer"),
        ({"region": '"eu-1"', "pool": '"40"'}, "pool is not an integer"),
        ({"region": '"eu-1"', "pool": "oops"}, "pool is not JSON"),
        ({"region": '"eu-1"', "pool": "[" * 100_000}, "pool is not JSON"),
        ({"region": '"eu-1"', "pool": "9" * 5000}, "pool is not JSON"),
        ({"region": '"eu-1"', "ratio": "NaN"}, "ratio is not JSON"),
        ({"region": '"eu-1"', "ratio": "1e999"}, "ratio is not a finite number"),
        ({"region": '"eu-1"', "ratio": "true"}, "ratio is not a number"),
        ({"region": '"eu-1"', "force": "1"}, "force is not a boolean"),
        ({"region": '"eu-1"', "note": "[]"}, "note is not a string"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(given, problem):
    with pytest.raises(InputError, match=problem) as caught:
        resolve(BASE, given)
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_an_optional_parameter_may_be_given_as_null():
    assert resolve(BASE, {"region": '"eu-1"', "note": "null"})["note"] == "null"


def test_a_required_parameter_with_a_default_needs_no_value():
    book = runbook(pool={"type": "integer", "required": True, "default": 3})
    assert resolve(book, {}) == {"pool": "3"}


@pytest.mark.parametrize(
    ("assignment", "name", "text"),
    [
        ("region=eu-1", "region", '"eu-1"'),
        ("pool=80", "pool", "80"),
        ("ratio=2", "ratio", "2"),
        ("ratio=-0.5", "ratio", "-0.5"),
        ("force=true", "force", "true"),
        ("force=False", "force", "false"),
        ("note=", "note", '""'),
        ("note=a=b", "note", '"a=b"'),
        ("note=5", "note", '"5"'),
        ("note=né", "note", '"né"'),
    ],
)
def test_an_assignment_is_read_as_the_declared_type(assignment, name, text):
    assert parse_assignment(assignment, BASE) == (name, text)


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("region", "is no assignment"),
        ("=x", "has no parameter"),
        ("pool=", "pool is not an integer; give an integer"),
        ("pool=forty", "pool is not an integer"),
        ("pool=40.0", "pool is not an integer"),
        ("pool=41", "pool is not one of"),
        ("force=yes", "force is not a boolean; give true or false"),
        ("ratio=Infinity", "ratio is not a number"),
        ("region=nowhere", "does not match"),
        ("note=\udcff", "note is not valid text"),
    ],
)
def test_a_wrong_assignment_is_refused(assignment, problem):
    with pytest.raises(InputError, match=problem):
        parse_assignment(assignment, BASE)


def test_parameters_are_described_for_people():
    pool, region, *_ = describe(BASE)
    assert (pool.name, pool.type, pool.default, pool.choices) == (
        "pool",
        "integer",
        "40",
        ("40", "80"),
    )
    assert (region.required, region.default, region.pattern) == (True, None, "[a-z]{2}-[0-9]")


@pytest.mark.parametrize(
    "declared",
    [
        {"type": "integer", "default": "3"},
        {"type": "integer", "default": True},
        {"type": "number", "default": float("inf")},
        {"type": "string", "default": "x", "choices": ["y"]},
        {"type": "integer", "choices": ["3"]},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "a", "default": "b"},
        {"type": "integer", "pattern": "3"},
        {"type": "list"},
        {"alert": {}},
        {"alert": {"label": "a", "annotation": "b"}},
        {"required": "yes"},
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(declared):
    with pytest.raises(ValidationError):
        Parameter(**declared)


VALUES = {
    "string": st.text(st.characters(exclude_categories=("Cs",))),
    "integer": st.integers(),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    "boolean": st.booleans(),
}


@given(st.data(), st.sampled_from(sorted(VALUES)))
def test_a_value_of_the_declared_type_arrives_unchanged(data, kind):
    value = data.draw(VALUES[kind])
    found = resolve(runbook(x={"type": kind}), {"x": json.dumps(value)})
    assert json.loads(found["x"]) == value
    assert type(json.loads(found["x"])) is type(value)


@given(st.sampled_from(sorted(VALUES)), st.text())
def test_any_text_is_taken_or_refused_by_name(kind, text):
    book = runbook(x={"type": kind})
    refusal, found = "", None
    try:
        found = parse_assignment(f"x={text}", book)
    except InputError as error:
        refusal = error.message
    if found is None:
        assert refusal.startswith("parameter x")
    else:
        assert resolve(book, dict([found])) == dict([found])
