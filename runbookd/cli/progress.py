"""Shows a headless walk: the recorded events one a line as JSON, or a few lines for people."""

import json
import re

import click

from runbookd.events import (
    AdhocFinished,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalRefused,
    ApprovalRequested,
    ApprovalRevoked,
    CellFinished,
    CellOutput,
    CellSkipped,
    CellStarted,
    KernelDied,
    Recorded,
    SessionOpened,
)
from runbookd.session.state import SessionState, fold
from runbookd.visible import one_line, visible

_SGR = re.compile(r"\x1b\[[0-9;:]*m")
"""Colours: a plain listing is the same in a terminal, a pipe and a log."""


class Progress:
    """Prints lines as they are recorded: data to stdout, what is only for people to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._state = SessionState()

    def show(self, line: Recorded) -> None:
        """Print one recorded line."""
        self._state = fold(self._state, line)
        if self._as_json:
            text = json.dumps(
                line.to_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":")
            )
            click.echo(text)
            return
        said = self._said(line)
        if said:
            click.echo(said)

    def conclude(self, session: str, exit_code: int, said: str) -> None:
        """Print how it ended."""
        word = {0: "done", 3: "not approved"}.get(exit_code, "failed")
        click.echo(f"{word}: {one_line(said)}; session {session}", err=True)

    def _said(self, line: Recorded) -> str:
        event = line.event
        match event:
            case SessionOpened():
                drill = " (drill)" if event.data.drill else ""
                return f"session {self._state.id}{drill}: {visible(event.data.runbook.title)}"
            case CellStarted():
                return f"> {self._title(event.cell)} [{event.data.lane}]"
            case CellOutput():
                texts = [
                    part.text if part.text is not None else f"[{part.mime}, {part.bytes} bytes]"
                    for part in event.data.contents
                    if part.mime == "text/plain" or len(event.data.contents) == 1
                ]
                lines = visible(_SGR.sub("", "".join(texts))).splitlines()
                return "\n".join(f"    {text}" for text in lines)
            case CellFinished() | AdhocFinished():
                ended = f"  {event.data.status} after {event.data.duration_ms / 1000:.1f} s"
                parts = [ended, event.data.error, event.data.lane_hint]
                return "\n  ".join(visible(part) for part in parts if part)
            case CellSkipped():
                return f"- {self._title(event.cell)}: skipped, {visible(event.data.reason)}"
            case ApprovalRequested():
                return (
                    f"? {self._title(event.cell)}: waits for approval {event.data.digest[:8]} "
                    f"by {', '.join(event.data.groups) or 'nobody'}, until {event.data.expires_at}"
                )
            case ApprovalDecided():
                reason = f": {visible(event.data.reason)}" if event.data.reason else ""
                word = "approved" if event.data.decision == "approve" else "denied"
                return f"  {word} by {event.data.person} ({event.data.via}){reason}"
            case ApprovalRefused():
                who, why = event.data.person, visible(event.data.reason)
                return f"  a decision of {who} does not count: {why}"
            case ApprovalExpired() | ApprovalRevoked():
                return f"  {event.type.rpartition('.')[2]}: {visible(event.data.reason)}"
            case KernelDied():
                return f"  the {event.data.lane} kernel died: {visible(event.data.why)}"
            case _:
                return ""

    def _title(self, cell: str | None) -> str:
        return visible(self._state.cells[cell].plan.title) if cell else "ad-hoc"
