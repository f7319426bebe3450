"""The gate of a step in lines: what was asked for, who may decide, and what became of it. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, assert_never

from runbookd.session.state import Request
from runbookd.tui.advice import remaining
from runbookd.tui.rows import Line, Run, joined
from runbookd.tui.story import Story
from runbookd.visible import one_line

_LABEL = 12


def gate_lines(
    request: Request, story: Story, now: datetime, drill_page: str | None
) -> Iterator[Line]:
    """The panel under a step that has a request."""
    document = request.document
    tone, words = _headline(request, now)
    bar: tuple[Run, ...] = (("┃ ", tone),)
    yield joined((words, tone), lead=bar)
    yield _fact("fingerprint", request.digest[:8], bar, "strong")
    for label, text in _about(request, document, drill_page):
        yield _fact(label, text, bar)
    for refused in story.turned_away.get(request.id, [])[-3:]:
        said = f"{one_line(refused.person)} may not {refused.decision}: {one_line(refused.reason)}"
        yield _fact("turned away", said, bar, "warn")
    if request.state == "approved":
        yield joined(("press x to run it now", "accent"), lead=bar)


def _headline(request: Request, now: datetime) -> tuple[str, str]:
    who = one_line(request.decided_by or "", 60)
    via = f" ({request.decided_via})" if request.decided_via else ""
    left = remaining(request.expires_at, now)
    match request.state:
        case "pending":
            return "warn", f"WAITING FOR APPROVAL   {left} left"
        case "approved":
            return "accent", f"APPROVED by {_names(request) or who}{via}   {left} left"
        case "executing":
            return "info", f"RUNNING, approved by {_names(request)}"
        case "done":
            return "good", f"RAN ONCE, approved by {_names(request)}"
        case "failed":
            return "bad", f"RAN AND FAILED, approved by {_names(request)}"
        case "unknown":
            return "bad", f"OUTCOME UNKNOWN, approved by {_names(request)}"
        case "denied":
            return "bad", f"DENIED by {who}{via}"
        case "expired":
            return "warn", "EXPIRED"
        case "revoked":
            return "dim", "TAKEN BACK"
        case "superseded":
            return "dim", "REPLACED by a newer request"
        case _:
            assert_never(request.state)


def _about(
    request: Request, document: dict[str, Any], drill_page: str | None
) -> Iterator[tuple[str, str]]:
    if request.reason:
        yield "reason", one_line(request.reason, 500)
    open_still = request.state in {"pending", "approved"}
    if request.state == "pending":
        people = "1 person" if request.quorum == 1 else f"{request.quorum} people"
        groups = ", ".join(one_line(group, 60) for group in request.groups) or "nobody"
        so_far = f"; approved so far by {_names(request)}" if request.approved_by else ""
        yield "who decides", f"{people} of {groups}, not {one_line(request.requester)}{so_far}"
        if drill_page:
            yield "decide at", one_line(drill_page, 300)
        yield "announced", ", ".join(one_line(name, 40) for name in request.posted) or "not yet"
    for name, value in _pairs(document.get("inputs")):
        yield "input", f"{name} = {value}"
    for name, value in _pairs(document.get("parameters")) if open_still else ():
        yield "parameter", f"{name} = {value}"
    connectors = document.get("connectors")
    for connector in connectors if isinstance(connectors, list | tuple) else ():
        if isinstance(connector, dict):
            yield "connector", _connector(connector)
    touch = document.get("may_touch")
    if open_still and isinstance(touch, dict):
        yield "may touch", _touch(touch)


def _connector(connector: dict[str, Any]) -> str:
    allow = connector.get("allow")
    verbs = ", ".join(str(rule) for rule in allow) if isinstance(allow, list | tuple) else "?"
    where = connector.get("url") or connector.get("upstream") or ""
    return one_line(f"{connector.get('name', '?')}: {verbs} at {where}", 300)


def _touch(touch: dict[str, Any]) -> str:
    found = [
        f"{name.replace('_', ' ')} {', '.join(str(part) for part in value)}"
        for name in ("writable", "endpoints", "unix_sockets")
        if isinstance(value := touch.get(name), list | tuple) and value
    ]
    if touch.get("signals") is True:
        found.append("signals to other processes")
    level = touch.get("sandbox")
    found.append(f"sandbox {level}" if level != "none" else "NO SANDBOX")
    return one_line("; ".join(found), 500)


def _pairs(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, dict):
        return []
    return [(one_line(str(name), 80), one_line(str(text), 2_000)) for name, text in values.items()]


def _names(request: Request) -> str:
    return ", ".join(one_line(name, 60) for name in request.approved_by)


def _fact(label: str, text: str, bar: tuple[Run, ...], tone: str = "text") -> Line:
    return joined((f"{label:<{_LABEL}} ", "dim"), (text, tone), lead=bar, hang=_LABEL + 1)
