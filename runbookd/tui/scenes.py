"""From a stop of the walk to the blocks that show it: prose, head, source, gate, output, notes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from runbookd.events import ConnectorData
from runbookd.session.state import CellState, Execution
from runbookd.tui.advice import elapsed
from runbookd.tui.blocks import Block, Gap, HeadBlock, OutputBlock, TextBlock
from runbookd.tui.code import coloured_code, plain_code
from runbookd.tui.gate import gate_lines
from runbookd.tui.markdown import markdown_lines
from runbookd.tui.marks import Mark, mark_of, mark_of_run
from runbookd.tui.notebook import NotebookCell
from runbookd.tui.rows import CODE_MARGIN, Line, Run, joined, line, lines
from runbookd.tui.story import Item, Story
from runbookd.visible import one_line, visible

CALLS_SHOWN = 20
_CODE_LEAD: tuple[Run, ...] = ((CODE_MARGIN, "rule"),)


@dataclass(frozen=True, slots=True)
class Scene:
    """An item as blocks. ``head`` is the index of the block that names it; before it is prose."""

    blocks: tuple[Block, ...]
    head: int


class Stage:
    """Makes scenes, and keeps what does not change: sources and prose.

    Args:
        story: the session.
        drill_page: where the rehearsal's approvals are decided; None outside of a drill.
    """

    def __init__(self, story: Story, drill_page: str | None) -> None:
        self._story = story
        self._drill_page = drill_page
        self._sources: dict[str, Block] = {}
        self.unfolded: set[str] = set()

    def scene(self, item: Item, now: datetime) -> Scene:
        """The scene of an item at this moment."""
        blocks: list[Block] = []
        for cell in item.lead:
            blocks += [self._source(cell), Gap()]
        head = len(blocks)
        match item.kind:
            case "step":
                assert item.cell is not None
                blocks += self._step(item.cell, self._story.state.cells[item.key], now)
            case "adhoc":
                blocks += self._adhoc(item.key, now)
            case "end":
                head = max(0, head - 1)
        return Scene((*blocks, Gap()), head)

    def _step(self, cell: NotebookCell, state: CellState, now: datetime) -> Iterator[Block]:
        run = self._story.run_of(cell.id)
        yield HeadBlock(_name(mark_of(state), state.plan.title), _facts(state, run, now))
        if state.plan.mode == "gated" and not state.request:
            yield TextBlock(list(_before_asking(cell)))
        request = self._story.state.request_of(cell.id)
        if request is not None:
            yield TextBlock(list(gate_lines(request, self._story, now, self._drill_page)))
        yield self._source(cell)
        if state.reason:
            word = "why" if state.mark == "skipped" else "remark"
            yield TextBlock([joined((f"{word}: ", "dim"), (one_line(state.reason, 2_000), "text"))])
        if run is not None:
            yield from self._run(cell.id, run)
        yield from self._notes(cell.id)

    def _adhoc(self, key: str, now: datetime) -> Iterator[Block]:
        run = self._story.run_of(key)
        if run is None:
            return
        yield HeadBlock(
            _name(mark_of_run(run.status), "Ad-hoc cell"), _run_facts(run, now, "read-only")
        )
        yield _code(visible(run.source or ""), self._story.notebook.language)
        yield from self._run(key, run)

    def _run(self, key: str, run: Execution) -> Iterator[Block]:
        output = self._story.output(run.id)
        yield from self._calls(run)
        if not output.empty:
            yield OutputBlock(output, full=key in self.unfolded)
        elif run.status == "ok":
            yield TextBlock([line("no output", "dim", lead=(("│ ", "rule"),))])
        if run.status not in {None, "ok"}:
            yield TextBlock(list(_failure(run)))

    def _calls(self, run: Execution) -> Iterator[Block]:
        """What went through the connectors: each call of a gated run, refused ones otherwise."""
        calls = self._story.calls.get(run.id, [])
        shown = [call for call in calls if run.lane == "gated" or call.refused]
        made = [_call(call) for call in shown[:CALLS_SHOWN]]
        rest = self._story.call_counts.get(run.id, 0) - len(made)
        if rest > 0:
            more = "more " if made else ""
            calls_word = "call" if rest == 1 else "calls"
            made.append(line(f"⇢ {rest} {more}{calls_word} through connectors", "dim"))
        if made:
            yield TextBlock(made)

    def _notes(self, key: str) -> Iterator[Block]:
        for note in self._story.notes.get(key, ()):
            head = f"note by {one_line(note.person, 60)} at {note.ts[11:19]} UTC, record {note.seq}"
            bar: tuple[Run, ...] = (("┃ ", "accent"),)
            yield TextBlock([line(head, "dim", lead=bar), *lines(note.text, lead=bar)])

    def _source(self, cell: NotebookCell) -> Block:
        if cell.id not in self._sources:
            self._sources[cell.id] = (
                _code(cell.source, self._story.notebook.language)
                if cell.kind == "code"
                else TextBlock(markdown_lines(cell.source))
            )
        return self._sources[cell.id]


def _call(call: ConnectorData) -> Line:
    said = one_line(f"{call.connector}  {call.method} {call.path}", 300)
    if call.refused:
        why = f"  refused: {one_line(call.refused, 300)}"
        return joined(("⇢ ", "bad"), (said, "text"), (why, "bad"), hang=2)
    status: Run = (f"  {call.status}", "good" if call.status < 400 else "bad")
    took: Run = (f"  {call.duration_ms} ms", "dim")
    return joined(("⇢ ", "info"), (said, "text"), status, took, hang=2)


def _code(source: str, language: str) -> Block:
    source = source.rstrip("\n")
    return TextBlock(
        plain_code(source, lead=_CODE_LEAD, fill="code"),
        lambda: coloured_code(source, language, lead=_CODE_LEAD, fill="code"),
    )


def _name(mark: Mark, title: str) -> tuple[Run, ...]:
    return (
        (f"{mark.symbol} {mark.word}  ", mark.tone),
        (one_line(title), "heading"),
    )


def _facts(state: CellState, run: Execution | None, now: datetime) -> tuple[Run, ...]:
    plan = state.plan
    kind = plan.mode if plan.risk is None else f"{plan.mode}, {plan.risk} risk"
    if state.runs > 1:
        kind = f"{kind} · run {state.runs}"
    return _run_facts(run, now, kind)


def _run_facts(run: Execution | None, now: datetime, kind: str) -> tuple[Run, ...]:
    if run is None:
        took = ""
    elif run.status is None:
        took = f" · {elapsed(run.started_ts, now)}"
    elif run.status == "unknown":
        took = ""
    else:
        took = f" · {run.duration_ms / 1000:.1f} s"
    return ((f"{kind}{took}", "dim"),)


def _before_asking(cell: NotebookCell) -> Iterator[Line]:
    facts = [
        (name, values)
        for name, values in (
            ("inputs", cell.inputs), ("outputs", cell.outputs), ("connectors", cell.connectors)
        )
        if values
    ]  # fmt: skip
    if facts:
        said = "   ".join(f"{name}: {', '.join(values)}" for name, values in facts)
        yield line(said, "dim")


def _failure(run: Execution) -> Iterator[Line]:
    bar: tuple[Run, ...] = (("┃ ", "bad"),)
    words = {
        "error": "failed", "timeout": "ran out of time", "interrupted": "interrupted",
        "died": "the kernel died", "unknown": "outcome unknown: look before doing it again",
    }  # fmt: skip
    error = one_line(run.error, 1_000)
    said = words.get(run.status or "", run.status or "")
    yield joined((said, "bad"), (f"  {error}" if error else "", "text"), lead=bar)
    if run.lane_hint:
        yield joined(
            ("the lane's walls  ", "accent"), (one_line(run.lane_hint, 1_000), "strong"), lead=bar
        )
