"""The one natural next thing: what Enter does where the reader stands, in words. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, assert_never

from runbookd.clock import parse_rfc3339
from runbookd.session.state import CellState, SessionState
from runbookd.visible import one_line

Act = Literal["run", "ask", "tick", "go", "nothing"]


@dataclass(frozen=True, slots=True)
class Advice:
    """What to press and what it does. ``act`` is what Enter does, on ``target`` (an item)."""

    key: str
    text: str
    act: Act = "nothing"
    target: str = ""


@dataclass(frozen=True, slots=True)
class Seat:
    """Who looks at the session: ``me`` is an actor id, ``observing`` was asked for."""

    me: str
    observing: bool = False

    def drives(self, state: SessionState) -> bool:
        """Whether commands of this person would be taken."""
        return not self.observing and not state.closed and state.driver == self.me


def advise(state: SessionState, selected: str, seat: Seat, now: datetime) -> Advice:
    """The next thing for someone who stands at the item ``selected``."""
    if state.opened is None:
        return Advice("", "reading the record …")
    if state.closed:
        return Advice("q", "leaves; this session is closed")
    if not seat.drives(state):
        return _for_observer(state, seat)
    if state.running is not None:
        run = state.executions[state.running]
        key = run.cell if run.cell is not None else f"adhoc:{run.id}"
        if key == selected:
            return Advice("i", f"interrupts; running for {elapsed(run.started_ts, now)}")
        cell = state.cells.get(selected)
        if cell is None or cell.mark in {"done", "skipped"} or cell.plan.mode != "manual":
            name = title(state.cells[run.cell]) if run.cell else "the ad-hoc cell"
            return Advice("Enter", f"go to {name}, which is running; i interrupts", "go", key)
    if selected in state.cells:
        return _for_step(state, state.cells[selected], now)
    return _onward(state, selected)


def _for_observer(state: SessionState, seat: Seat) -> Advice:
    driver = one_line(state.driver or "nobody", 40)
    if seat.observing:
        return Advice("", f"observing; driver is {driver}")
    if state.driver is None:
        return Advice("D", "takes the driver's seat, which is empty")
    return Advice("D", f"takes the seat (reason); observing, driver is {driver}")


def _for_step(state: SessionState, cell: CellState, now: datetime) -> Advice:
    plan = cell.plan
    match cell.mark:
        case "done" | "skipped":
            return _onward(state, plan.id)
        case "waiting":
            return _onward(state, plan.id)
        case "approved":
            request = state.request_of(plan.id)
            left = remaining(request.expires_at, now) if request else ""
            return Advice("x", f"runs this step now, once; the approval holds for {left}")
        case "denied":
            onward = _onward(state, plan.id)
            return Advice(onward.key, f"{onward.text}; r asks again", onward.act, onward.target)
        case "running":
            return Advice("i", "interrupts")
        case "todo" | "failed" | "expired" | "unknown":
            pass
        case _:
            assert_never(cell.mark)
    missing = state.missing(plan.id)
    if missing:
        first = state.cells[missing[0]]
        return Advice("Enter", f"go to {title(first)}, which this needs first", "go", missing[0])
    again = "" if cell.mark == "todo" else " again"
    match plan.mode:
        case "read-only":
            return Advice("Enter", f"run{again} {title(cell)}", "run", plan.id)
        case "manual":
            return Advice("Enter", f"tick off {title(cell)}", "tick", plan.id)
        case "gated":
            said = f"ask{again} for approval of {title(cell)}"
            if cell.mark == "unknown":
                said = "ask again for approval; the outcome is unknown, so look first"
            return Advice("Enter", said, "ask", plan.id)
        case _:
            assert_never(plan.mode)


def _onward(state: SessionState, selected: str) -> Advice:
    """Go to the next open step after ``selected``, or to the first one before it."""
    names = list(state.cells)
    at = names.index(selected) + 1 if selected in names else 0
    rollbacks = {cell.plan.rollback for cell in state.cells.values()}
    order = [
        name for name in (*names[at:], *names[:at]) if name != selected and name not in rollbacks
    ]
    for name in order:
        if state.cells[name].mark not in {"done", "skipped", "waiting", "denied"}:
            return Advice("Enter", f"go on to {title(state.cells[name])}", "go", name)
    for name in order:
        if state.cells[name].mark in {"waiting", "denied"}:
            cell = state.cells[name]
            return Advice("Enter", f"go to {title(cell)}, which is {cell.mark}", "go", name)
    if selected in state.cells and state.cells[selected].mark == "waiting":
        return Advice("v", "takes the request back; nothing else is left to do meanwhile")
    return Advice("c", "closes the session; every step is done or skipped")


def title(cell: CellState) -> str:
    """A step's title in quotation marks, short."""
    return f"'{one_line(cell.plan.title, 40)}'"


def elapsed(since: str, now: datetime) -> str:
    """The time since a moment, for people: ``3 s``, ``2:05 min``."""
    return _span((now - parse_rfc3339(since)).total_seconds())


def remaining(until: str, now: datetime) -> str:
    """The time until a moment; ``0 s`` when it is over."""
    return _span((parse_rfc3339(until) - now).total_seconds())


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
