"""Headings are found where Markdown has them."""

import pytest

from runbookd.runbook.headings import first_line, headings


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("# One", ("One",)),
        ("text\n\n### Three ###\nmore", ("Three",)),
        ("#no space", ()),
        ("    # indented code", ()),
        ("\\# escaped", ()),
        ("#", ()),
        ("#\tTab", ("Tab",)),
        ("Setext\n===", ("Setext",)),
        ("Setext\n---\n# Two", ("Setext", "Two")),
        ("- item\n---", ()),
        ("\n---\n", ()),
        ("| a |\n|---|", ()),
        ("```\n# no\n```\n# yes", ("yes",)),
        ("````\n```\n# no\n````\n# yes", ("yes",)),
        ("~~~\n```\n# no\n~~~\n# yes", ("yes",)),
        ("```\n# never closed", ()),
        ("``` `not a fence`\n# yes", ("yes",)),
        ("", ()),
    ],
)
def test_headings(markdown, found):
    assert headings(markdown) == found


def test_a_very_long_heading_is_cut_visibly():
    (title,) = headings("# " + "x" * 500)
    assert len(title) == 120
    assert title.endswith("…")


def test_the_first_line_that_says_something_is_a_title():
    assert first_line("\n  \n  x = 1  \ny") == "x = 1"
    assert first_line("") == ""
