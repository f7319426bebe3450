"""What a cell puts out becomes a few pieces, with nothing lost and nothing unencodable."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookd.kernels.outputs import GATHER_CHARS, GATHER_S, Gathering, KernelOutput


def text_of(pieces: list[KernelOutput]) -> str:
    return "".join(str(piece.mimes["text/plain"]) for piece in pieces)


def stream(text: str, name: str = "stdout") -> dict[str, str]:
    return {"name": name, "text": text}


def test_prints_within_a_moment_are_one_piece() -> None:
    gathering = Gathering(1000)
    gathering.add("stream", stream("a"), 10.0)
    gathering.add("stream", stream("b"), 10.01)
    assert gathering.due == 10.0 + GATHER_S
    assert gathering.take(10.02) == []
    assert gathering.take(10.0 + GATHER_S) == [KernelOutput("stdout", {"text/plain": "ab"})]
    assert gathering.due is None


def test_a_lot_of_text_is_a_piece_at_once() -> None:
    gathering = Gathering(10 * GATHER_CHARS)
    gathering.add("stream", stream("x" * GATHER_CHARS), 10.0)
    assert gathering.due == 0.0
    assert len(gathering.take(10.0)) == 1


def test_the_order_of_channels_is_kept() -> None:
    gathering = Gathering(10_000)
    gathering.add("stream", stream("a"), 0.0)
    gathering.add("stream", stream("b", "stderr"), 0.0)
    gathering.add("execute_result", {"data": {"text/plain": "c"}}, 0.0)
    gathering.add("stream", stream("d"), 0.0)
    gathering.add("error", {"ename": "E", "evalue": "v", "traceback": []}, 0.0)
    assert [(piece.channel, piece.mimes["text/plain"]) for piece in gathering.flush()] == [
        ("stdout", "a"),
        ("stderr", "b"),
        ("result", "c"),
        ("stdout", "d"),
        ("error", "E: v"),
    ]


def test_representations_of_one_thing_stay_together() -> None:
    gathering = Gathering(10_000)
    picture = base64.encodebytes(b"\x89PNG").decode()
    data = {
        "text/plain": "x",
        "image/png": picture,
        "image/svg+xml": "<svg/>",
        "application/json": {"b": [1.5]},
    }
    gathering.add("display_data", {"data": data}, 0.0)
    [piece] = gathering.flush()
    assert piece.mimes == {
        "text/plain": "x",
        "image/png": b"\x89PNG",
        "image/svg+xml": "<svg/>",
        "application/json": '{"b": [1.5]}',
    }


def test_a_picture_that_is_none_stays_text() -> None:
    gathering = Gathering(10_000)
    gathering.add("display_data", {"data": {"image/png": "é"}}, 0.0)
    assert gathering.flush()[0].mimes == {"image/png": "é"}


@given(st.lists(st.text(max_size=50), max_size=30), st.integers(0, 300))
def test_text_is_kept_up_to_the_limit_and_what_is_missing_is_said(
    texts: list[str], limit: int
) -> None:
    gathering = Gathering(limit)
    for text in texts:
        gathering.add("stream", stream(text), 0.0)
    pieces = gathering.flush()
    kept = text_of([piece for piece in pieces if piece.channel == "stdout"])
    whole = "".join(texts)
    if len(whole.encode()) <= limit:
        assert kept == whole
        assert all(piece.channel == "stdout" for piece in pieces)
    else:
        assert whole.startswith(kept)
        assert len(kept.encode()) <= limit
        assert "was not kept" in text_of(pieces[-1:])


@pytest.mark.parametrize("before", [0, 6])
def test_a_text_that_ends_at_the_limit_is_marked_as_cut(before: int) -> None:
    gathering = Gathering(10)
    gathering.add("stream", stream("x" * before), 0.0)
    gathering.add("stream", stream("y" * 20), 0.0)
    text, note = gathering.flush()
    assert text.mimes["text/plain"] == "x" * before + "y" * (10 - before)
    assert (text.cut, note.cut) == (True, False)


def test_a_long_traceback_is_marked_as_cut() -> None:
    gathering = Gathering(1_000_000)
    gathering.add("error", {"traceback": ["x" * 100_000]}, 0.0)
    gathering.add("error", {"traceback": ["x" * 1000]}, 0.0)
    assert [piece.cut for piece in gathering.flush()] == [True, False]


def test_notes_about_a_limit_say_what_sets_it() -> None:
    gathering = Gathering(10, "see the policy")
    gathering.leave_out(5000)
    gathering.add("stream", stream("y" * 20), 0.0)
    said = [str(piece.mimes["text/plain"]) for piece in gathering.flush()]
    assert said[0] == "[runbookd: one output of 5000 bytes was not kept; see the policy]\n"
    assert "beyond 10 bytes was not kept; see the policy" in said[-1]


def test_many_small_displays_count_towards_the_limit() -> None:
    gathering = Gathering(10_000)
    for _ in range(1000):
        gathering.add("display_data", {"data": {"text/plain": "x"}}, 0.0)
    pieces = gathering.flush()
    assert len(pieces) < 100
    assert pieces[-1].channel == "stderr"


def test_text_that_utf_8_cannot_hold_becomes_its_escape() -> None:
    gathering = Gathering(10_000)
    gathering.add("stream", stream("a\ud800b"), 0.0)
    gathering.add("error", {"traceback": ["\udfff"]}, 0.0)
    assert [piece.mimes["text/plain"] for piece in gathering.flush()] == ["a\\ud800b", "\\udfff"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("stream", {}),
        ("stream", {"text": None}),
        ("stream", {"name": 5, "text": 7}),
        ("display_data", {}),
        ("display_data", {"data": []}),
        ("execute_result", {"data": {"a\nb\x1b": "x"}}),
        ("error", {}),
        ("error", {"traceback": [1, None]}),
        ("error", {"traceback": "x"}),
        ("clear_output", {"wait": True}),
        ("comm_open", {"data": {"text/plain": "x"}}),
    ],
)
def test_odd_messages_do_no_harm(kind: str, content: dict[str, object]) -> None:
    gathering = Gathering(1000)
    gathering.add(kind, content, 0.0)
    for piece in gathering.flush():
        for mime, value in piece.mimes.items():
            assert mime.isprintable()
            assert isinstance(value, str)
