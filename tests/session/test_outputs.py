"""What a kernel says, on its way into the record: without secrets, whole, and no line too long."""

import hashlib
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbookd.events import CellOutput, Content, Recorded
from runbookd.record.redaction import Redactor
from runbookd.record.writer import RecordWriter
from runbookd.session.journal import Journal
from runbookd.session.outputs import INLINE_BYTES, OutputSink
from runbookd.session.state import fold
from tests.record.world import ALICE, ManualClock, opened
from tests.session.script import started
from tests.session.world import KEY

SECRET = "hunter2-the-password"


class Sink(OutputSink):
    """A sink, and what came through it."""

    def __init__(self, folder: Path, journal: Journal, writer: RecordWriter, redactor: Redactor):
        super().__init__(
            journal, writer.blobs, redactor, execution="x-1", cell="look", request=None
        )
        self.folder = folder
        self.journal = journal

    async def take(self, channel: Any, mimes: Any, cut: bool = False) -> None:
        await super().take(channel, mimes, cut)
        await self.settle()

    async def events(self) -> list[CellOutput]:
        raw = b"".join([piece async for piece in self.journal.follow(2, live=False)])
        lines = [Recorded.from_json(json.loads(line)) for line in raw.split(b"\n") if line]
        return [line.event for line in lines if isinstance(line.event, CellOutput)]

    async def contents(self) -> list[Content]:
        return [content for event in await self.events() for content in event.data.contents]

    async def text(self, channel: str = "stdout") -> str:
        parts = []
        for event in await self.events():
            if event.data.channel == channel:
                [content] = event.data.contents
                parts.append(content.text if content.text is not None else self.blob(content))
        return "".join(parts)

    def blob(self, content: Content) -> str:
        assert content.blob is not None
        return (self.folder / "blobs" / "sha256" / content.blob).read_text()

    def everything_on_disk(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())


async def make(folder: Path) -> tuple[Sink, RecordWriter]:
    redactor = Redactor({"env": SECRET})
    writer = await RecordWriter.create(
        folder, log="host/runbookd/s-1", key=KEY, clock=ManualClock(), redactor=redactor
    )
    journal = Journal(writer, folder / "record.jsonl")
    await journal.append(opened(writer.vkey), started("x-1"), actor=ALICE)
    return Sink(folder, journal, writer, redactor), writer


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    made, writer = await make(tmp_path / "session")
    yield made
    await writer.close()


async def test_what_is_printed_is_recorded_under_its_execution(sink: Sink) -> None:
    await sink.take("stdout", {"text/plain": "12 connections\n"})
    await sink.take("stderr", {"text/plain": "slow\n"})
    await sink.finish()
    first, second = await sink.events()
    assert (first.cell, first.data.execution, first.data.channel) == ("look", "x-1", "stdout")
    assert first.data.contents == (Content(mime="text/plain", bytes=15, text="12 connections\n"),)
    assert second.data.channel == "stderr"
    assert sink.journal.state.executions["x-1"].output_events == 2


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
async def test_a_secret_is_taken_out_wherever_its_stream_is_cut(sink: Sink, cut: int) -> None:
    await sink.take("stdout", {"text/plain": f"password: {SECRET[:cut]}"})
    await sink.take("stdout", {"text/plain": f"{SECRET[cut:]}\n"})
    await sink.finish()
    assert await sink.text() == "password: [redacted:env]\n"
    assert SECRET.encode() not in sink.everything_on_disk()


async def test_streams_do_not_mix(sink: Sink) -> None:
    await sink.take("stdout", {"text/plain": SECRET[:8]})
    await sink.take("stderr", {"text/plain": "an error\n"})
    await sink.take("stdout", {"text/plain": SECRET[8:]})
    await sink.finish()
    assert await sink.text("stderr") == "an error\n"
    assert await sink.text("stdout") == "[redacted:env]"


async def test_what_only_looked_like_the_beginning_of_a_secret_is_said_at_the_end(
    sink: Sink,
) -> None:
    await sink.take("stdout", {"text/plain": SECRET[:-1]})
    assert await sink.text() == ""
    await sink.finish()
    assert await sink.text() == SECRET[:-1]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(0, 60), max_size=6))
async def test_however_a_stream_is_cut_the_record_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    whole = f"a {SECRET} b {SECRET}{SECRET} c"
    sink, writer = await make(tmp_path_factory.mktemp("cut") / "session")
    try:
        at = 0
        for cut in [*sorted(cuts), len(whole)]:
            await sink.take("stdout", {"text/plain": whole[at:cut]})
            at = max(at, cut)
        await sink.finish()
        said = await sink.text()
        assert SECRET not in said
        assert SECRET.encode() not in sink.everything_on_disk()
        assert said.replace("[redacted:env]", "") == "a  b  c"
    finally:
        await writer.close()


async def test_what_stands_before_a_cut_cannot_be_half_a_secret(sink: Sink) -> None:
    for channel in ("stdout", "error"):
        await sink.take(channel, {"text/plain": f"password: {SECRET[:-1]}"}, cut=True)
    await sink.finish()
    assert await sink.text("stdout") == "password: "
    assert await sink.text("error") == "password: "


async def test_many_small_outputs_share_a_write_and_keep_their_order(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[int] = []
    append = sink.journal.append

    async def counted(*events: Any) -> Any:
        appended.append(len(events))
        return await append(*events)

    monkeypatch.setattr(sink.journal, "append", counted)
    for number in range(100):
        await OutputSink.take(sink, "display", {"text/plain": str(number)})
    await sink.finish()
    assert len(appended) < 10
    assert [content.text for content in await sink.contents()] == [str(n) for n in range(100)]


async def test_outputs_that_fill_a_line_wait_for_few_others(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[int] = []
    append = sink.journal.append

    async def counted(*events: Any) -> Any:
        appended.append(len(events))
        return await append(*events)

    monkeypatch.setattr(sink.journal, "append", counted)
    for _ in range(20):
        await OutputSink.take(sink, "display", {"text/plain": "x" * INLINE_BYTES})
    await sink.finish()
    assert max(appended) <= 4


@pytest.mark.parametrize("channel", ["stdout", "result"])
async def test_a_long_text_is_redacted_beside_the_loop_and_in_pieces(
    tmp_path: Path, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, writer = await make(tmp_path / "session")
    seen: list[tuple[bool, int]] = []
    spans = Redactor.spans

    def watched(self: Redactor, text: str, begin: int = 0) -> Any:
        seen.append((threading.current_thread() is threading.main_thread(), len(text)))
        return spans(self, text, begin)

    monkeypatch.setattr(Redactor, "spans", watched)
    try:
        text = f"{'x' * 65_530}{SECRET}{'y' * 500_000}"
        await made.take(channel, {"text/plain": text})
        await made.finish()
        [content] = await made.contents()
        assert made.blob(content) == text.replace(SECRET, "[redacted:env]")
    finally:
        await writer.close()
    assert max(length for _, length in seen) < 70_000
    assert all(length < 1000 for on_loop, length in seen if on_loop)


async def test_a_long_output_becomes_a_blob_without_its_secrets(sink: Sink) -> None:
    text = f"{'x' * INLINE_BYTES} {SECRET}\n"
    await sink.take("stdout", {"text/plain": text})
    await sink.take("result", {"text/plain": text})
    await sink.finish()
    clean = text.replace(SECRET, "[redacted:env]")
    for content in await sink.contents():
        assert content.text is None
        assert sink.blob(content) == clean
        assert content.blob == hashlib.sha256(clean.encode()).hexdigest()
        assert content.bytes == len(clean.encode())
    assert SECRET.encode() not in sink.everything_on_disk()


@pytest.mark.parametrize(("size", "inline"), [(INLINE_BYTES, True), (INLINE_BYTES + 1, False)])
async def test_what_stands_in_the_line_is_at_most_16_kib(
    sink: Sink, size: int, inline: bool
) -> None:
    await sink.take("result", {"text/plain": "x" * size})
    [content] = await sink.contents()
    assert (content.text is not None) is inline
    assert content.bytes == size


async def test_the_limit_counts_bytes_and_not_characters(sink: Sink) -> None:
    await sink.take("result", {"text/plain": "ü" * (INLINE_BYTES // 2 + 1)})
    [content] = await sink.contents()
    assert content.text is None


async def test_a_picture_becomes_a_blob_beside_its_text(sink: Sink) -> None:
    picture = b"\x89PNG\r\n\x00\xff"
    await sink.take("display", {"image/png": picture, "text/plain": f"<Figure {SECRET}>"})
    [event] = await sink.events()
    image, text = event.data.contents
    assert (image.mime, image.bytes, image.text) == ("image/png", len(picture), None)
    assert image.blob == hashlib.sha256(picture).hexdigest()
    assert (sink.folder / "blobs" / "sha256" / str(image.blob)).read_bytes() == picture
    assert text.text == "<Figure [redacted:env]>"


@pytest.mark.parametrize("character", ["x", "\x01", "\\", "\x85", "\udc80"])
async def test_an_output_with_absurdly_many_forms_is_recorded_whole(
    sink: Sink, character: str
) -> None:
    mimes = {f"x/{number}": character * (INLINE_BYTES // 3) for number in range(300)}
    await sink.take("display", mimes)
    contents = await sink.contents()
    assert [content.mime for content in contents] == list(mimes)
    assert not sink.journal.failed


async def test_every_line_of_output_can_be_folded(sink: Sink) -> None:
    state = sink.journal.state
    await sink.take("stdout", {"text/plain": "one"})
    await sink.finish()
    raw = b"".join([piece async for piece in sink.journal.follow(state.seq, live=False)])
    for line in raw.splitlines():
        state = fold(state, Recorded.from_json(json.loads(line)))
    assert state == sink.journal.state
