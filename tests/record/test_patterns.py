"""A pattern knows what it matches, and what may still become a match."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookd.errors import InputError
from runbookd.record.patterns import compile_pattern
from runbookd.record.redaction import KNOWN_TOKENS

SAMPLES = [
    r"abc",
    r"ab?c",
    r"a(?:bc|cb)+a",
    r"a[bc]{2,4}",
    r"(a|bc)*c",
    r"\bab\b",
    r"a.?c",
    r"[^a]{2}b",
    r"a(?i:BC)",
    r"a{2}b{0,2}?c",
    r"c(ab){1,2}|ca",
    r"a\.b",
    r"a\sb+",
]


@given(st.sampled_from(SAMPLES), st.text("abc. B", max_size=12), st.text("abc. B", max_size=12))
def test_a_match_that_more_text_changes_was_announced(pattern: str, text: str, more: str) -> None:
    """Where the matches in ``text + more`` differ from those in ``text``, partial says so."""
    compiled = compile_pattern("p", pattern)
    for start in range(len(text)):
        now = compiled.full.match(text, start)
        then = compiled.full.match(text + more, start)
        if (now and now.span()) != (then and then.span()):
            assert compiled.partial.match(text, start), (start, now, then)


@given(st.sampled_from(SAMPLES), st.text("abc. B", max_size=12))
def test_the_full_form_is_the_pattern_itself(pattern: str, text: str) -> None:
    expected = [found.span() for found in re.finditer(pattern, text)]
    assert [found.span() for found in compile_pattern("p", pattern).full.finditer(text)] == expected


@pytest.mark.parametrize(
    ("pattern", "begins", "never"),
    [
        ("abc", ["a", "ab"], ["abc", "b", "x"]),
        ("acme-[0-9a-f]{4}", ["acme", "acme-12f"], ["acme-12ff", "acme-g"]),
        ("ab+", ["a", "ab", "abbb"], ["b", "abc"]),
    ],
)
def test_only_what_can_go_on_is_a_beginning(
    pattern: str, begins: list[str], never: list[str]
) -> None:
    partial = compile_pattern("p", pattern).partial
    assert [text for text in begins if not partial.match(text)] == []
    assert [text for text in never if partial.match(text)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a*",
        "(?=a)b",
        "(?<=a)b",
        "(?P<n>a)",
        r"(a)\1",
        "^a",
        "a$",
        r"\Aa",
        "(a",
        "a)",
        "[a",
        "a**",
        "a{3,2}",
        "a{0}",
        r"\b+a",
        "(?:[a-z]+-)+",
        "(?s:a)",
        "{a",
    ],
)
def test_what_is_not_understood_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="redaction pattern 'mine'"):
        compile_pattern("mine", pattern)


def test_the_width_is_the_longest_match() -> None:
    assert compile_pattern("p", "ab{2,3}(?:cd|e)").width == 6


def test_looking_for_beginnings_is_quick() -> None:
    text = "2026-11-24 02:07:31 INFO https://user@host:8080/x eagerly Bearing A basic xylophone\n"
    text *= 2_000
    patterns = [compile_pattern(rule, pattern) for rule, pattern in KNOWN_TOKENS]
    begin = time.process_time()
    for pattern in patterns:
        assert pattern.full.search(text) is None, pattern.rule
        found = pattern.partial.search(text)
        assert found is None or found.start() == len(text), pattern.rule
    # 170 kB take about 30 ms; a search that tries everything everywhere would take seconds.
    assert time.process_time() - begin < 2
