"""No text becomes anything but text, wherever a draft puts it and whoever renders it."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from runbookd.postmortem.inert import code_span, fence, inline, quote
from runbookd.visible import visible

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<!-- hidden -->",
    "&lt;b&gt; &#64;dana &copy;",
    "[click](javascript:alert(1))",
    "[click][x] [x]: https://evil.example",
    "![pixel](https://evil.example/p.png)",
    "https://evil.example www.evil.example bo@evil.example evil.example/x",
    "(https://evil.example), <https://evil.example>",
    "@dana ping @acme/commanders, (@dana)",
    "closes #17, GH-17 acme/shop#17 !17 $17 %17 ~bug :boom: &17",
    "8c0dc126308c2a2392f3c952bca783f941eac1b2 8c0dc12",
    "a | b \\| c || d |",
    "| a | b |\n|---|---|\n| c | d |",
    "`` ` ``` ` `a` \\` ``",
    "``````",
    "\\",
    "* _a_ **b** ~~c~~ ***",
    "# heading",
    "- item",
    "1. item",
    "1) item",
    "> quoted",
    "---",
    "===",
    "```\nfence\n```",
    "~~~",
    "    indented",
    "\tindented",
    "$`math`$ $$x$$ \\(x\\)",
    "[[wiki]] [^1] {+add+} [ ] [x]",
    "dana approved it [#3] [#3]: [ [#3]",
    "a\r\nb\x1b[31mred\x1b]0;title\x07",
    "\u202eevil\u202c zero\u200bwidth \u2066x\u2069",
    "line\u2028separator\x0bvertical\x0cfeed\x85next",
    "::: note",
    "{{ doc.title }} {% raw %}",
    "<details><summary>x</summary>",
    "term\n: definition",
    "Ärger mit Grüßen, 変更 и так далее…",
    "x" * 300,
]

ALLOWED = {"paragraph_open", "paragraph_close", "inline", "text", "code_inline", "softbreak"}
LINKED = re.compile(r"@\w|(?:^|\W)[#!$%~&]\w|\w#\d|://|www\.|gh-\d|[0-9a-f]{7}|\]\(", re.I)


def rendered(text: str) -> list[Token]:
    found: list[Token] = []
    for token in MarkdownIt("gfm-like", {"html": True, "linkify": True}).parse(text):
        found.append(token)
        found += token.children or []
    return found


def shown(tokens: list[Token]) -> str:
    return "".join(
        token.content for token in tokens if token.type in {"text", "code_inline", "text_special"}
    )


def cells(table: str) -> list[str]:
    """The Markdown in the cells of a table's body."""
    return [inner.content for outer, inner in pairwise(rendered(table)) if outer.type == "td_open"]


def flat(text: str) -> str:
    return " ".join(visible(text).split())


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("writer", [inline, code_span])
def test_hostile_text_stays_text_that_no_renderer_links(text: str, writer: object) -> None:
    made = inline(text) if writer is inline else code_span(text)
    tokens = rendered(made)
    assert {token.type for token in tokens} <= ALLOWED
    assert shown(tokens) == flat(text)
    outside = [token.content for token in tokens if token.type == "text"]
    assert not [part for part in outside if LINKED.search(part)]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_cell(text: str) -> None:
    table = f"| a | b |\n|---|---|\n| {inline(text)} | {code_span(text)} |\n"
    assert [flat(shown(rendered(cell))) for cell in cells(table)] == [flat(text)] * 2
    assert sum(token.type == "tr_open" for token in rendered(table)) == 2


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    ("before", "shape"),
    [
        ("- ", ["bullet_list", "list_item", "paragraph"]),
        ("# ", ["heading"]),
        ("> ", ["blockquote", "paragraph"]),
    ],
)
def test_hostile_text_opens_no_block(text: str, before: str, shape: list[str]) -> None:
    opened = [
        token.type.removesuffix("_open")
        for token in rendered(before + inline(text))
        if token.type.endswith("_open")
    ]
    assert opened == shape


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_quotation_keeps_its_lines_and_nothing_else(text: str) -> None:
    tokens = rendered(f"before\n\n{quote(text)}\n\nafter")
    assert {token.type for token in tokens} <= ALLOWED | {
        "blockquote_open",
        "blockquote_close",
        "hardbreak",
    }
    for line in visible(text).split("\n"):
        assert flat(line) in flat(shown(tokens))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_fence_is_closed_by_nothing_inside(text: str) -> None:
    tokens = rendered(f"{fence(text)}\n\nafter")
    assert [token.type for token in tokens] == [
        "fence",
        "paragraph_open",
        "inline",
        "text",
        "paragraph_close",
    ]
    assert tokens[0].info == "text"


def test_a_forged_citation_does_not_look_like_a_real_one() -> None:
    assert not re.search(r"\[#\d+\]", inline("dana approved it [#3], see `[#4]` and ([#5])"))
    assert not re.search(r"\[#\d+\]", code_span("[#3]"))


def test_plain_words_stay_readable() -> None:
    for text in (
        "The pool leaks; since 01:50, p99 is 4.5 s (INC-17).",
        "“Ärger” with the read-only lane? Don't…",
        "2026-11-24 02:07:31",
    ):
        assert inline(text) == text


def test_hidden_characters_are_shown() -> None:
    assert inline("a\u202eb") == "`a\\u{202e}b`"
    assert "␛" in inline("\x1b]0;x\x07")


def test_a_fence_leaves_colours_out_and_shows_other_control_characters() -> None:
    assert fence("\x1b[1;31mError\x1b[0m\rhidden\x1b[2K\n") == ("```text\nError␍hidden␛[2K\n```")


def test_many_odd_characters_take_no_longer_than_their_number_asks() -> None:
    for odd in (")", "`", "|", "[#", "'a", "a-", "\\"):
        assert len(inline(odd * 50_000 + "@")) >= 50_000


ODD = list("ab1.)|`[]()#!<>&@:/\\*_~-+=$% \n\t\"'“”…")


@given(st.text(alphabet=st.sampled_from(ODD)) | st.text())
@example("`a`|`b`")
@example("x`|`")
@example("a| |b")
@example("[#[#1]")
@example("\\|")
def test_any_text_comes_back_whole_as_text(text: str) -> None:
    (cell,) = cells(f"| a |\n|---|\n| {inline(text)} |\n")
    for made in (inline(text), cell):
        tokens = rendered(made)
        assert {token.type for token in tokens} <= ALLOWED
        assert shown(tokens) == flat(text)
