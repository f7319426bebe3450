"""The executions of a session: source, outputs, connector calls and end of each."""

from dataclasses import dataclass, field

from runbookd.canonical import sha256
from runbookd.events import (
    AdhocFinished,
    AdhocStarted,
    CellFinished,
    CellOutput,
    CellStarted,
    ConnectorData,
    ConnectorRequested,
    FinishedData,
    Lane,
    OutputChannel,
    OutputData,
    Recorded,
    Recovered,
)
from runbookd.model import Digest
from runbookd.postmortem.document import Attachment, Call, Excerpt, Output, Run
from runbookd.postmortem.texts import (
    OUTPUT_CHARS,
    RUN_CHARS,
    SOURCE_CHARS,
    Gatherer,
    Texts,
    readable,
)
from runbookd.postmortem.wording import Names

_STREAMS: tuple[OutputChannel, ...] = ("stdout", "stderr")


@dataclass(slots=True)
class _Block:
    channel: OutputChannel
    text: Gatherer | None
    attachments: list[Attachment] = field(default_factory=list)
    refs: list[int] = field(default_factory=list)

    def output(self) -> Output:
        excerpt = self.text.excerpt() if self.text else None
        return Output(self.channel, excerpt, tuple(self.attachments), tuple(self.refs))


@dataclass(slots=True)
class _Open:
    """An execution while its lines come in."""

    line: Recorded
    lane: Lane
    source: Excerpt
    source_digest: Digest
    blocks: list[_Block] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    end: FinishedData | None = None
    end_line: Recorded | None = None
    lost: int | None = None


class Evidence:
    """Collects executions, line by line."""

    def __init__(self, texts: Texts, names: Names) -> None:
        self._texts = texts
        self._names = names
        self._open: dict[str, _Open] = {}

    def take(self, line: Recorded) -> None:
        """Learn from a line. Lines of an execution that never started are left to the timeline."""
        match line.event:
            case CellStarted(data=data):
                source = self._texts.source(data.source_digest)
                self._open[data.execution] = _Open(line, data.lane, source, data.source_digest)
            case AdhocStarted(data=data):
                source = self._texts.inline(data.source, SOURCE_CHARS)
                digest = sha256(data.source)
                self._open[data.execution] = _Open(line, "read-only", source, digest)
            case CellOutput(data=data):
                if run := self._open.get(data.execution):
                    self._output(run, line.seq, data)
            case CellFinished(data=data) | AdhocFinished(data=data):
                if run := self._open.get(data.execution):
                    run.end, run.end_line = data, line
            case ConnectorRequested(data=data):
                if run := self._open.get(data.execution):
                    run.calls.append(_call(line, data))
            case Recovered(data=data):
                for name in data.executions:
                    if run := self._open.get(name):
                        run.lost = line.seq
            case _:
                pass

    def runs(self) -> tuple[Run, ...]:
        """The executions in the order in which they started."""
        return tuple(self._run(name, run) for name, run in self._open.items())

    def _output(self, run: _Open, seq: int, data: OutputData) -> None:
        if data.channel in _STREAMS:
            last = run.blocks[-1] if run.blocks else None
            if last is None or last.channel != data.channel or last.text is None:
                last = _Block(data.channel, self._gatherer(run))
                run.blocks.append(last)
            last.refs.append(seq)
            for content in data.contents:
                if last.text is not None:
                    last.text.add(content)
            return
        block = _Block(data.channel, None, refs=[seq])
        shown = readable(data.contents)
        if shown is not None:
            block.text = self._gatherer(run)
            block.text.add(shown)
        others = [content for content in data.contents if content is not shown]
        block.attachments = [self._texts.attachment(content) for content in others]
        run.blocks.append(block)

    def _gatherer(self, run: _Open) -> Gatherer:
        used = sum(block.text.chars for block in run.blocks if block.text)
        return Gatherer(self._texts, max(0, min(OUTPUT_CHARS, RUN_CHARS - used)))

    def _run(self, name: str, run: _Open) -> Run:
        event, end = run.line.event, run.end
        status = end.status if end else ("unknown" if run.lost is not None else None)
        refs = [run.line.seq, run.lost, run.end_line.seq if run.end_line else None]
        return Run(
            execution=name,
            cell=event.cell,
            title=self._names.title(event.cell) if event.cell is not None else None,
            lane=run.lane,
            request=event.request,
            who=run.line.actor.id,
            source=run.source,
            source_digest=run.source_digest,
            started_seq=run.line.seq,
            started_ts=run.line.ts,
            status=status,
            finished_seq=run.end_line.seq if run.end_line else run.lost,
            finished_ts=run.end_line.ts if run.end_line else None,
            duration_ms=end.duration_ms if end and end.status != "unknown" else None,
            error=end.error if end else "",
            lane_hint=end.lane_hint if end else "",
            outputs=tuple(block.output() for block in run.blocks),
            results=tuple(sorted(end.outputs.items())) if end else (),
            calls=tuple(run.calls),
            refs=tuple(sorted(ref for ref in refs if ref is not None)),
        )


def _call(line: Recorded, data: ConnectorData) -> Call:
    return Call(
        seq=line.seq,
        ts=line.ts,
        connector=data.connector,
        method=data.method,
        path=data.path,
        status=data.status,
        bytes=data.bytes,
        duration_ms=data.duration_ms,
        refused=data.refused,
    )
