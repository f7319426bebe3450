"""Projects the recorded lines of a session into a postmortem draft: pure, in one pass."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runbookd.canonical import NotCanonical, digest
from runbookd.errors import RecordError
from runbookd.events import Checkpointed, OpenedData, Recorded, SessionClosed, SessionOpened
from runbookd.model import Digest
from runbookd.postmortem.course import Course
from runbookd.postmortem.document import Action, Appendix, Document, Fact, Field, Run
from runbookd.postmortem.evidence import Evidence
from runbookd.postmortem.ledger import Ledger
from runbookd.postmortem.metrics import metrics
from runbookd.postmortem.texts import Texts
from runbookd.postmortem.timeline import Timeline
from runbookd.postmortem.wording import NOT_RECORDED, Names, because, count, duration, moment
from runbookd.session.state import SessionState, fold


def project(
    lines: Iterable[Recorded],
    *,
    notebook: Mapping[str, Any] | None,
    read_blob: Callable[[Digest], bytes],
    integrity: str,
) -> Document:
    """The draft of one session.

    A record that cannot be followed (a line is gone, an end without its start) is projected as
    far as each line speaks for itself, and the draft says where it breaks.

    Args:
        lines: the record from its first line, closed or not.
        notebook: the frozen notebook as JSON, for the sources; None when it is not there.
        read_blob: the bytes of a blob; raises OSError when it is not there.
        integrity: the statement of whoever verified the record; further lines are its findings.

    Raises:
        RecordError: there is not a single line.
    """
    names = Names()
    texts = Texts(read_blob, notebook)
    evidence, ledger = Evidence(texts, names), Ledger(names)
    timeline, course = Timeline(names), Course(names)
    state, broken = SessionState(), None
    first = last = closed = None
    checkpoint: tuple[int, str] | None = None
    number = 0
    for line in lines:
        first, last = first or line, line
        number += 1
        for observer in (names, evidence, ledger, timeline, course):
            observer.take(line)
        if isinstance(line.event, SessionClosed):
            closed = line
        if isinstance(line.event, Checkpointed):
            checkpoint = (line.seq, line.event.data.note)
        if broken is None:
            try:
                state = fold(state, line)
            except RecordError as error:
                broken = Fact(f"The record cannot be followed further: {error}", (line.seq,))
    if first is None or last is None:
        raise RecordError("the record holds no line", "give the folder of a session")
    opened = first.event.data if isinstance(first.event, SessionOpened) else None
    runs = evidence.runs()
    actions = ledger.actions(state, runs, up_to=broken.refs[0] if broken else None)
    failures = [*([broken] if broken else []), *course.failures]
    return Document(
        title=opened.runbook.title if opened else NOT_RECORDED,
        session=first.log.rpartition("/")[2],
        drill=bool(opened and opened.drill),
        closed=closed is not None,
        integrity=integrity,
        language=_language(notebook),
        header=_header(first, last, closed, opened),
        parameters=tuple(sorted(opened.parameters.items())) if opened else (),
        people=course.people(),
        outline=_outline(first, last, closed, course, runs, actions),
        metrics=metrics(first, tuple(course.ticks), runs, actions, names.plans),
        timeline=timeline.entries(),
        actions=actions,
        ticks=tuple(course.ticks),
        runs=runs,
        skips=tuple(course.skips),
        deviations=(*course.deviations, *course.never_touched(last.seq)),
        notes=tuple(course.notes),
        failures=(*failures, *_without_end(runs, names, ended=closed is not None)),
        warnings=tuple(course.warnings),
        recoveries=tuple(course.recoveries),
        appendix=Appendix(
            log=first.log,
            lines=number,
            last_seq=last.seq,
            vkey=opened.vkey if opened else None,
            checkpoint=checkpoint[1] if checkpoint else None,
            checkpoint_seq=checkpoint[0] if checkpoint else None,
            redactions=tuple(
                Fact(f"redacted by the rule {rule}", tuple(refs))
                for rule, refs in course.redactions.items()
            ),
        ),
    )


def _header(
    first: Recorded, last: Recorded, closed: Recorded | None, opened: OpenedData | None
) -> tuple[Field, ...]:
    at = (first.seq,)
    rows = [
        Field("Session", first.log.rpartition("/")[2], at, literal=True),
        Field("Opened (UTC)", first.ts, at),
    ]
    if closed is not None:
        rows.append(Field("Closed (UTC)", closed.ts, (closed.seq,)))
    else:
        rows.append(Field("Closed (UTC)", f"still open at {moment(last.ts)}", (last.seq,)))
    if opened is None:
        return (Field("Runbook", None, at), *rows)
    box = opened.sandbox
    sandbox = box.level if box.level == "none" else f"{box.level} ({box.backend}, {box.kernel})"
    try:
        parameters = digest(opened.parameters)
    except NotCanonical:
        parameters = None
    return (
        Field("Incident", opened.incident, at),
        Field("Severity", None if opened.severity is None else str(opened.severity), at),
        Field("Service", opened.service or None, at),
        Field("Environment", opened.environment or None, at),
        Field("Drill", "yes" if opened.drill else "no", at),
        *rows,
        Field("Opened by", first.actor.id, at),
        Field("Runbook", opened.runbook.title, at),
        Field("Runbook file", opened.runbook.path, at, literal=True),
        Field("Runbook commit", opened.runbook.commit, at, literal=True),
        Field("Runbook SHA-256", opened.runbook.digest, at, literal=True),
        Field("Policies SHA-256", opened.policies.digest, at, literal=True),
        Field("Parameters SHA-256", parameters, at, literal=True),
        Field("Sandbox", sandbox, at),
        Field("Kernel", opened.kernelspec, at, literal=True),
        Field("runbookd version", opened.program, at, literal=True),
    )


def _outline(
    first: Recorded,
    last: Recorded,
    closed: Recorded | None,
    course: Course,
    runs: tuple[Run, ...],
    actions: tuple[Action, ...],
) -> tuple[Fact, ...]:
    facts = [Fact(f"{first.actor.id} opened the session at {moment(first.ts)}", (first.seq,))]
    for what, found in (
        ("read-only run", [run for run in runs if run.lane == "read-only"]),
        ("gated run", [run for run in runs if run.lane == "gated"]),
    ):
        if found:
            good = sum(run.status == "ok" for run in found)
            refs = tuple(run.finished_seq or run.started_seq for run in found)
            facts.append(Fact(f"{count(len(found), what)}, {good} ended ok", refs))
    if course.skips:
        refs = tuple(ref for fact in course.skips for ref in fact.refs)
        facts.append(Fact(f"{count(len(course.skips), 'step')} skipped", refs))
    if course.ticks:
        refs = tuple(note.seq for note in course.ticks)
        facts.append(Fact(f"{count(len(course.ticks), 'manual step')} ticked off", refs))
    facts += [_action_fact(action) for action in actions]
    if closed is not None:
        reason = closed.event.data.reason if isinstance(closed.event, SessionClosed) else ""
        text = f"{closed.actor.id} closed the session at {moment(closed.ts)}{because(reason)}"
        facts.append(Fact(text, (closed.seq,)))
    else:
        facts.append(Fact(f"The session was still open at {moment(last.ts)}", (last.seq,)))
    return tuple(facts)


def _action_fact(action: Action) -> Fact:
    text = (
        f"{action.requester} asked for approval of “{action.title}” (request {action.fingerprint}):"
        f" {action.state}"
    )
    for item in action.decisions:
        if not item.counts:
            continue
        verb = "approved" if item.verdict == "approve" else "denied"
        text += f", {verb} by {item.person} via {item.via}"
    if action.latency_ms is not None:
        text += f" after {duration(action.latency_ms)}"
    return Fact(text, action.refs)


def _without_end(runs: tuple[Run, ...], names: Names, *, ended: bool) -> tuple[Fact, ...]:
    """Executions of which no line tells how they ended."""
    facts = []
    for run in runs:
        what = names.cell(run.cell) if run.cell is not None else "An ad-hoc cell"
        if run.status is None:
            how = f"its end is {NOT_RECORDED}" if ended else "was running at the last line"
            facts.append(Fact(f"{what} was started; {how}", run.refs))
        elif run.status == "unknown" and run.finished_ts is None:
            facts.append(Fact(f"The outcome of {what} is unknown: a crash hid it", run.refs))
    return tuple(facts)


def _language(notebook: Mapping[str, Any] | None) -> str:
    metadata = notebook.get("metadata") if notebook else None
    for key, name in (("kernelspec", "language"), ("language_info", "name")):
        part = metadata.get(key) if isinstance(metadata, dict) else None
        found = part.get(name) if isinstance(part, dict) else None
        if isinstance(found, str):
            return found
    return ""
