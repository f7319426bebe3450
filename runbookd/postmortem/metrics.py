"""The durations of an incident, each between two lines of the record."""

from collections.abc import Mapping

from runbookd.events import CellPlan, Recorded
from runbookd.postmortem.document import Action, Metric, Note, Run
from runbookd.postmortem.wording import between_ms

Moment = tuple[int, str]
"""A line's number and its time."""


def metrics(
    opened: Recorded,
    ticks: tuple[Note, ...],
    runs: tuple[Run, ...],
    actions: tuple[Action, ...],
    plans: Mapping[str, CellPlan],
) -> tuple[Metric, ...]:
    """The durations of a session, from its first line, manual steps, executions and requests."""
    start = (opened.seq, opened.ts)
    acted = [(run.started_seq, run.started_ts) for run in runs]
    acted += [(tick.seq, tick.ts) for tick in ticks]
    approved = _first_approved(actions)
    mitigated = _mitigation(runs, plans)
    verified = _verification(mitigated, runs, plans)
    asked = (actions[0].seq, actions[0].ts) if actions else None
    approval = approved[1] if approved else None
    return (
        _metric(
            "Time to first action",
            "opening to the first cell run or step ticked off",
            start,
            min(acted, default=None),
        ),
        _metric("Time to request", "opening to the first request for approval", start, asked),
        _metric("Time to approval", "opening to the first complete approval", start, approval),
        _metric(
            "Approval latency",
            "asking to complete approval, of the request approved first",
            (approved[0].seq, approved[0].ts) if approved else None,
            approval,
        ),
        _metric(
            "Time to mitigation",
            "opening to the end of the last approved run that ended ok, rollbacks left out",
            start,
            _end(mitigated),
        ),
        _metric(
            "Time to verification",
            "opening to the first ok end, after that, of the cell that verifies it",
            start,
            _end(verified),
        ),
    )


def _metric(name: str, meaning: str, start: Moment | None, end: Moment | None) -> Metric:
    if start is None or end is None:
        return Metric(name, meaning, None, ())
    return Metric(name, meaning, between_ms(start[1], end[1]), (start[0], end[0]))


def _first_approved(actions: tuple[Action, ...]) -> tuple[Action, Moment] | None:
    found = [
        (action, (item.seq, item.ts))
        for action in actions
        for item in action.decisions
        if item.complete and item.verdict == "approve"
    ]
    return min(found, key=lambda pair: pair[1][0], default=None)


def _mitigation(runs: tuple[Run, ...], plans: Mapping[str, CellPlan]) -> Run | None:
    rollbacks = {plan.rollback for plan in plans.values()}
    found = [
        run
        for run in runs
        if run.lane == "gated" and run.status == "ok" and run.cell not in rollbacks
    ]
    return found[-1] if found else None


def _verification(
    mitigated: Run | None, runs: tuple[Run, ...], plans: Mapping[str, CellPlan]
) -> Run | None:
    plan = plans.get(mitigated.cell or "") if mitigated else None
    if plan is None or plan.verify is None or mitigated is None:
        return None
    after = mitigated.finished_seq or mitigated.started_seq
    for run in runs:
        if run.cell == plan.verify and run.status == "ok" and run.started_seq > after:
            return run
    return None


def _end(run: Run | None) -> Moment | None:
    if run is None or run.finished_seq is None or run.finished_ts is None:
        return None
    return run.finished_seq, run.finished_ts
