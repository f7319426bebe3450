"""Lines break so that nothing is lost and nothing is wider than the screen."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from runbookd.tui.rows import Line, clip, joined, line, pad, spread
from runbookd.tui.sgr import PLAIN, Pen, after, coloured, style_of

TEXT = st.text(alphabet="ab 世é-", max_size=60)
WIDTH = st.integers(min_value=4, max_value=30)


@given(TEXT, WIDTH)
def test_breaking_anywhere_loses_nothing(text: str, width: int) -> None:
    made = Line(text)
    rows = [made.row(at, width).text for at in range(made.count(width))]
    assert "".join(rows) == text
    assert all(cell_len(row) <= width for row in rows)


@given(TEXT, WIDTH)
def test_breaking_at_words_loses_only_the_spaces_it_breaks_at(text: str, width: int) -> None:
    made = line(text, words=True)
    rows = [made.row(at, width).text for at in range(made.count(width))]
    assert "".join(rows).replace(" ", "") == text.replace(" ", "")
    assert all(cell_len(row) <= width for row in rows)


def test_words_stay_whole_and_hang() -> None:
    made = joined(("• ", "info"), ("one two three four", "text"), hang=2)
    assert [made.row(at, 11).text for at in range(made.count(11))] == [
        "• one two",
        "  three",
        "  four",
    ]


def test_spans_keep_their_place_over_a_break() -> None:
    made = Line("abcdef", spans=((2, 4, "bad"),))
    assert made.row(0, 3).runs == (("ab", "text"), ("c", "bad"))
    assert made.row(1, 3).runs == (("d", "bad"), ("ef", "text"))


@given(TEXT, st.integers(min_value=0, max_value=20))
def test_clipping_fits_and_padding_fills(text: str, width: int) -> None:
    assert cell_len(clip(text, width)) <= max(width, 0)
    assert cell_len(pad(text, width)) == width


def test_what_does_not_fit_between_the_ends_gives_way() -> None:
    runs = spread((("a", "text"), ("long title", "text")), (("right", "dim"),), 12)
    assert "".join(text for text, _ in runs) == "along… right"


def test_sgr_colours_and_resets() -> None:
    pen = after(PLAIN, "1;31")
    assert pen == Pen(colour="color(1)", bold=True)
    assert after(pen, "") == PLAIN
    assert after(PLAIN, "38;5;200").colour == "color(200)"
    assert after(PLAIN, "48;2;1;2;3").back == "#010203"
    assert after(PLAIN, "38;2;1") == PLAIN
    assert after(PLAIN, "38;5;999") == PLAIN
    assert after(PLAIN, "9" * 5000) == PLAIN
    assert after(PLAIN, "5") == PLAIN


def test_concealed_text_is_not_concealed() -> None:
    made, _ = coloured("\x1b[8mhidden\x1b[0m", PLAIN)
    assert made.text == "hidden"
    assert made.spans == ()


def test_text_in_the_colour_of_its_ground_loses_the_ground() -> None:
    assert style_of(Pen(colour="color(1)", back="color(1)")).bgcolor is None


def test_an_escape_that_is_no_colour_is_shown() -> None:
    made, _ = coloured("a\x1b[3", PLAIN, tone="text")
    assert made.text == "a␛[3"
