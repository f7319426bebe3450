"""The approvals of a session: who asked for what, who decided, and whether it was used."""

import json
from dataclasses import dataclass, field
from typing import Any

from runbookd.canonical import NotCanonical, canonical
from runbookd.events import (
    ApprovalClaimed,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalFinished,
    ApprovalPosted,
    ApprovalRefused,
    ApprovalRequested,
    ApprovalRevoked,
    DecidedData,
    Recorded,
    RefusedData,
    RequestedData,
)
from runbookd.model import JsonText
from runbookd.postmortem.document import Action, Decision, Excerpt, Fact, Run
from runbookd.postmortem.wording import NOT_RECORDED, Names, because, between_ms
from runbookd.session.state import SessionState

_SHOWN_APART = frozenset({"source", "inputs"})


@dataclass(slots=True)
class _Open:
    """A request while its lines come in."""

    line: Recorded
    data: RequestedData
    decisions: list[Decision] = field(default_factory=list)
    shown: list[Fact] = field(default_factory=list)
    ended: list[Fact] = field(default_factory=list)
    execution: str | None = None


class Ledger:
    """Collects requests for approval, line by line."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._open: dict[str, _Open] = {}

    def take(self, line: Recorded) -> None:
        """Learn from a line. Lines of a request that was never made are left to the timeline."""
        event = line.event
        if event.request is None:
            return
        if isinstance(event, ApprovalRequested):
            self._open[event.request] = _Open(line, event.data)
            return
        asked = self._open.get(event.request)
        if asked is None:
            return
        match event:
            case ApprovalDecided(data=data) | ApprovalRefused(data=data):
                asked.decisions.append(_decision(line, data))
            case ApprovalPosted(data=data):
                asked.shown.append(Fact(f"in the channel {data.channel}", (line.seq,)))
            case ApprovalExpired(data=data):
                asked.ended.append(Fact(f"expired{because(data.reason)}", (line.seq,)))
            case ApprovalRevoked(data=data):
                how = "taken back"
                if data.superseded_by is not None:
                    how = f"superseded by {self._names.request(data.superseded_by)}"
                asked.ended.append(Fact(f"{how}{because(data.reason)}", (line.seq,)))
            case ApprovalClaimed(data=data):
                asked.execution = data.execution
                text = f"used up by the execution {data.execution}"
                asked.ended.append(Fact(text, (line.seq,)))
            case ApprovalFinished(data=data):
                asked.ended.append(Fact(f"the execution ended: {data.status}", (line.seq,)))
            case _:
                pass

    def actions(
        self, state: SessionState, runs: tuple[Run, ...], *, up_to: int | None
    ) -> tuple[Action, ...]:
        """The requests in the order in which they were made.

        Args:
            state: says where each request stands.
            runs: the executions.
            up_to: the line at which ``state`` ends, None when it holds the whole record.
        """
        by_execution = {run.execution: run for run in runs}
        found = []
        for name, asked in self._open.items():
            known = state.requests.get(name)
            stands: str = known.state if known else NOT_RECORDED
            if up_to is not None:
                stands += f" (before line {up_to}, where the record breaks)"
            run = by_execution.get(asked.execution or "")
            found.append(self._action(name, asked, stands, run))
        return tuple(found)

    def _action(self, name: str, asked: _Open, stands: str, run: Run | None) -> Action:
        data, line = asked.data, asked.line
        complete = (item for item in asked.decisions if item.complete and item.verdict == "approve")
        approved = next(complete, None)
        inputs = data.document.get("inputs")
        return Action(
            request=name,
            cell=line.event.cell or NOT_RECORDED,
            title=self._names.title(line.event.cell),
            digest=data.digest,
            seq=line.seq,
            ts=line.ts,
            requester=data.requester,
            groups=data.groups,
            quorum=data.quorum,
            rules=data.rules,
            expires_at=data.expires_at,
            state=stands,
            source=_source(data.document),
            inputs=_values(inputs) if isinstance(inputs, dict) else (),
            terms=_values(
                {key: item for key, item in data.document.items() if key not in _SHOWN_APART}
            ),
            decisions=tuple(asked.decisions),
            latency_ms=between_ms(line.ts, approved.ts) if approved else None,
            latency_refs=(line.seq, approved.seq) if approved else (line.seq,),
            shown=tuple(asked.shown),
            ended=tuple(asked.ended),
            run=run,
        )


def _source(document: dict[str, Any]) -> Excerpt:
    # Whole, however long it is: this is what was approved.
    source = document.get("source")
    if not isinstance(source, str):
        return Excerpt(text=None, problems=(NOT_RECORDED,))
    return Excerpt(text=source, total_bytes=len(source.encode("utf-8", "replace")))


def _decision(line: Recorded, data: DecidedData | RefusedData) -> Decision:
    return Decision(
        seq=line.seq,
        ts=line.ts,
        person=data.person,
        via=data.via,
        verdict=data.decision,
        counts=isinstance(data, DecidedData),
        complete=isinstance(data, DecidedData) and data.complete,
        reason=data.reason,
    )


def _values(values: dict[str, Any]) -> tuple[tuple[str, JsonText], ...]:
    # Texts stand as they are: an input is JSON text already.
    return tuple(
        (name, item if isinstance(item, str) else _json(item))
        for name, item in sorted(values.items())
    )


def _json(value: Any) -> str:
    try:
        return canonical(value).decode()
    except NotCanonical:
        return json.dumps(value, sort_keys=True)
