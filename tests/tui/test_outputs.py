"""Outputs become lines: filtered, coloured, bounded, and never a lie about what is missing."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from runbookd.events import Content, OutputChannel, OutputData
from runbookd.tui.outputs import HEAD, KEPT_CHARS, KEPT_LINES, SHOWN_TAIL, Output


def feed(output: Output, text: str, channel: OutputChannel = "stdout") -> None:
    content = Content(mime="text/plain", bytes=len(text), text=text)
    output.feed(OutputData(execution="x", channel=channel, contents=(content,)))


def offer(output: Output, channel: OutputChannel, *contents: tuple[str, str]) -> None:
    made = tuple(Content(mime=mime, bytes=len(text), text=text) for mime, text in contents)
    output.feed(OutputData(execution="x", channel=channel, contents=made))


def shown(output: Output, width: int = 80, *, full: bool = True) -> list[str]:
    count = output.rows(width, full=full)
    return [output.row(at, width, full=full).text for at in range(count)]


def test_a_line_may_come_in_pieces() -> None:
    output = Output()
    for piece in ("a", "b\nc", "\nd"):
        feed(output, piece)
    assert shown(output) == ["│ ab", "│ c", "│ d"]


@example(["\x1b\n", "1"])
@given(st.lists(st.text(alphabet="ab\n\r\x1b[31m;é世\t", max_size=20), max_size=8))
def test_how_a_stream_is_cut_makes_no_difference(pieces: list[str]) -> None:
    whole, cut = Output(), Output()
    feed(whole, "".join(pieces))
    for piece in pieces:
        if piece:
            feed(cut, piece)
    whole.end_stream()
    cut.end_stream()
    assert shown(cut) == shown(whole)


def test_a_colour_that_is_cut_in_two_is_a_colour() -> None:
    output = Output()
    feed(output, "\x1b[3")
    feed(output, "1mred\x1b[0m\n")
    row = output.row(0, 80, full=True)
    assert row.text == "│ red"
    assert row.runs[1][1] != "text"


def test_what_only_looks_like_the_start_of_a_colour_is_shown_in_the_end() -> None:
    output = Output()
    feed(output, "x\x1b[3")
    output.end_stream()
    assert shown(output) == ["│ x␛[3"]


def test_a_carriage_return_paints_over_nothing() -> None:
    output = Output()
    feed(output, " 10%\r 20%\r")
    feed(output, "\nwindows\r\nlines\r\n")
    assert shown(output) == ["│  10%␍", "│  20%", "│ windows", "│ lines"]


def test_stderr_and_stdout_do_not_run_together() -> None:
    output = Output()
    feed(output, "out")
    feed(output, "err\n", "stderr")
    feed(output, "more\n")
    assert shown(output) == ["│ out", "│ err", "│ more"]


def test_a_million_lines_cost_no_more_than_some_thousand() -> None:
    output = Output()
    for start in range(0, 100_000, 1_000):
        feed(output, "".join(f"{at}\n" for at in range(start, start + 1_000)))
    assert len(output._lines) <= KEPT_LINES
    rows = shown(output)
    assert rows[:HEAD] == [f"│ {at}" for at in range(HEAD)]
    kept = len(rows) - 1 - HEAD
    assert rows[HEAD].startswith(f"│ … {100_000 - HEAD - kept:,} more lines")
    assert rows[-1] == "│ 99999"
    folded = shown(output, full=False)
    assert len(folded) == HEAD + 1 + SHOWN_TAIL
    assert f"… {100_000 - HEAD - SHOWN_TAIL:,} more lines" in folded[HEAD]
    assert output.total == 100_000


def test_a_megabyte_without_a_line_feed_is_bounded_and_broken() -> None:
    output = Output()
    for _ in range(40):
        feed(output, "x" * 100_000)
    assert sum(len(line.text) for line in output._lines) <= KEPT_CHARS + 100_000
    assert all(len(row) <= 80 for row in shown(output)[:200])


def test_rows_follow_the_width() -> None:
    output = Output()
    feed(output, "abcdef\n世界世界\n")
    assert shown(output, 5) == ["│ abc", "│ def", "│ 世", "│ 界", "│ 世", "│ 界"]
    assert shown(output, 80) == ["│ abcdef", "│ 世界世界"]


def test_plain_text_is_preferred_and_an_image_is_named() -> None:
    output = Output()
    offer(output, "result", ("text/html", "<b>x</b>"), ("text/plain", "x"))
    offer(output, "display", ("image/png", "12345"), ("text/plain", "<Figure>"))
    assert shown(output) == [
        "│ x",
        "│ [image/png, 5 B: not shown here; it is recorded]",
        "│ <Figure>",
    ]


def test_html_alone_is_shown_as_text_and_the_unknown_is_named() -> None:
    output = Output()
    offer(output, "display", ("text/html", "<b>x</b>"))
    offer(output, "display", ("application/x-widget", "{}"))
    assert shown(output) == ["│ <b>x</b>", "│ [application/x-widget, 2 B: not shown here]"]


def test_an_error_in_jupyters_form_is_its_traceback() -> None:
    error = {"ename": "E", "evalue": "v", "traceback": ["\x1b[31mline\x1b[0m", "two"]}
    output = Output()
    offer(output, "error", ("application/vnd.jupyter.error+json", json.dumps(error)))
    offer(output, "error", ("application/vnd.jupyter.error+json", '{"ename": "E"}'))
    offer(output, "error", ("application/vnd.jupyter.error+json", "no json"))
    assert shown(output) == ["┃ line", "┃ two", "┃ E: ", "┃ no json"]


def test_a_blob_is_wanted_until_it_is_there() -> None:
    output = Output()
    digest = "a" * 64
    content = Content(mime="text/plain", bytes=20_000, blob=digest)
    feed(output, "before\n")
    output.feed(OutputData(execution="x", channel="stdout", contents=(content,)))
    feed(output, "after\n")
    assert output.wanted == (digest,)
    assert "loading" in shown(output)[1]
    output.load(digest, b"one\ntwo\x1b]0;x\x07\n")
    assert shown(output) == ["│ before", "│ one", "│ two␛]0;x␇", "│ after"]
    assert output.wanted == ()


def test_a_blob_that_is_too_long_says_where_it_is() -> None:
    output = Output()
    content = Content(mime="text/plain", bytes=10_000_000, blob="a" * 64)
    output.feed(OutputData(execution="x", channel="result", contents=(content,)))
    assert output.wanted == ()
    assert shown(output) == ["│ [text/plain, 9.5 MiB: in the record as sha256 aaaaaaaaaaaaaaaa…]"]
