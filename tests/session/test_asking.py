"""What is asked for: the gate, the document that is bound, and what people are shown of it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbookd.approvals.request import RequestDocument, document_digest, matches
from runbookd.canonical import sha256
from runbookd.clock import parse_rfc3339
from runbookd.errors import RunbookError
from runbookd.policy.model import Match, Policies
from runbookd.runbook.notebook import Runbook, plan, read_runbook
from runbookd.session import asking
from runbookd.session.state import SessionState, fold_all
from tests.session.script import claimed, decided, ended, finished, line, opened, started
from tests.session.script import requested as requested_event
from tests.session.world import notebook, policies

NOW = parse_rfc3339("2026-11-24T02:07:31.000000Z")
TERMS = asking.Terms("python", "python3", "c" * 64, "full")
CELL = {
    "id": "fix",
    "source": "resize(target)",
    "runbookd": {
        "mode": "gated",
        "title": "Enlarge the pool",
        "risk": "high",
        "inputs": ["target"],
        "outputs": ["changed"],
        "connectors": ["checkout"],
        "timeout": 42,
        "rollback": "undo",
    },
}
UNDO = {"id": "undo", "source": "undo()", "runbookd": {"mode": "gated", "title": "Shrink it"}}


@pytest.fixture
def runbook(tmp_path: Path) -> Runbook:
    path = tmp_path / "checkout.ipynb"
    path.write_bytes(notebook(CELL, UNDO, service="checkout", severity=2, tags=["db"]))
    return read_runbook(path)


def state(runbook: Runbook, **changes: Any) -> SessionState:
    values = {
        "cells": plan(runbook),
        "parameters": {"region": '"eu-1"'},
        "environment": runbook.environment,
        "service": runbook.service,
        "severity": runbook.severity,
        "incident": "INC-7",
    }
    return fold_all([line(0, opened(**{**values, **changes}))])


def document(runbook: Runbook, rules: Policies, **changes: Any) -> RequestDocument:
    values: dict[str, Any] = {
        "state": state(runbook),
        "runbook": runbook,
        "cell": runbook.cells[0],
        "policies": rules,
        "terms": TERMS,
        "inputs": {"target": "40"},
        "requester": "alice",
        "root": "d" * 64,
        "now": NOW,
        "expires_at": NOW + timedelta(minutes=15),
        "nonce": "0123456789abcdef",
    }
    return asking.document(**{**values, **changes})


def test_the_document_says_all_that_decides_what_runs(runbook: Runbook) -> None:
    rules = policies(1)
    made = document(runbook, rules)
    assert made.model_dump(mode="json") == {
        "v": 1,
        "session": "20261124-020731-checkout-3f9a",
        "runbook_digest": "0" * 64,
        "policy_digest": rules.digest,
        "source": "resize(target)",
        "source_digest": sha256("resize(target)"),
        "language": "python",
        "kernelspec": "python3",
        "kernelspec_digest": "c" * 64,
        "inputs": {"target": "40"},
        "outputs": ["changed"],
        "parameters": {"region": '"eu-1"'},
        "connectors": [{"name": "checkout", "url": "http://127.0.0.1:9", "allow": ["POST /pool"]}],
        "may_touch": {
            "writable": ["/var/log/checkout"],
            "endpoints": [],
            "unix_sockets": [],
            "signals": False,
            "sandbox": "full",
        },
        "environment": "production",
        "service": "checkout",
        "requester": "alice",
        "requester_slack": "U0ALICE",
        "timeout_s": 42,
        "requested_at": "2026-11-24T02:07:31.000000Z",
        "expires_at": "2026-11-24T02:22:31.000000Z",
        "checkpoint": {"size": 1, "root": "d" * 64},
        "nonce": "0123456789abcdef",
    }


def test_a_requester_without_a_slack_account_has_none_in_the_document(runbook: Runbook) -> None:
    made = document(runbook, policies(1), requester="os:carol")
    assert (made.requester, made.requester_slack) == ("os:carol", None)


def test_the_lane_limits_a_cell_that_names_no_time(runbook: Runbook) -> None:
    cell = replace(runbook.cells[0], timeout_s=None)
    assert document(runbook, policies(1), cell=cell).timeout_s == 300


def test_a_cell_cannot_be_asked_for_without_its_connector(runbook: Runbook) -> None:
    rules = policies(1).model_copy(update={"connectors": {}})
    with pytest.raises(RunbookError, match="no policy has a connector 'checkout'"):
        document(runbook, rules)


def _elsewhere(rules: Policies) -> Policies:
    connector = rules.connectors["checkout"].model_copy(update={"url": "http://127.0.0.1:10"})
    return rules.model_copy(update={"connectors": {"checkout": connector}})


def _wider(rules: Policies) -> Policies:
    gated = rules.lanes.gated.model_copy(update={"signals": True})
    return rules.model_copy(update={"lanes": rules.lanes.model_copy(update={"gated": gated})})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_elsewhere, "connectors"),
        (_wider, "may_touch"),
        (lambda rules: rules.model_copy(update={"digest": "9" * 64}), "policy_digest"),
    ],
)
def test_what_a_policy_changes_shows_in_the_document(
    runbook: Runbook, change: Any, field: str
) -> None:
    rules = policies(1)
    assert matches(document(runbook, rules), document(runbook, change(rules))) == [field]


def test_only_when_it_was_made_tells_two_requests_of_the_same_apart(runbook: Runbook) -> None:
    first = document(runbook, policies(1))
    second = document(
        runbook,
        policies(1),
        nonce="fedcba9876543210",
        now=NOW + timedelta(minutes=1),
        root="e" * 64,
    )
    assert matches(first, second) == []
    assert document_digest(first) != document_digest(second)


@pytest.mark.parametrize(
    ("of_session", "of_runbook", "counts"),
    [(2, 2, True), (1, 2, True), (5, 2, True), (5, 5, False), (None, None, True)],
)
def test_a_responder_can_call_an_incident_worse_and_never_milder(
    runbook: Runbook, of_session: int | None, of_runbook: int | None, counts: bool
) -> None:
    rules = policies(2)
    [rule] = rules.rules
    strict = rule.model_copy(update={"when": "session.severity <= 2"})
    rules = rules.model_copy(update={"rules": (strict,)})
    book = replace(runbook, severity=of_runbook)
    found = asking.gate_of(state(book, severity=of_session), book, book.cells[0], rules)
    assert (found.rules == ("all",)) is counts


def test_the_gate_looks_at_the_runbook_the_session_and_the_cell(runbook: Runbook) -> None:
    [rule] = policies(2).rules
    for match, counts in (
        (Match(risk=("high",), service=("checkout",), tags=("db",)), True),
        (Match(runbook=("checkout.ipynb",), environment=("production",)), True),
        (Match(risk=("low",)), False),
        (Match(service=("billing",)), False),
        (Match(tags=("network",)), False),
        (Match(environment=("staging",)), False),
    ):
        rules = policies(2).model_copy(
            update={"rules": (rule.model_copy(update={"match": match}),)}
        )
        found = asking.gate_of(state(runbook), runbook, runbook.cells[0], rules)
        assert (found.rules == ("all",)) is counts, match


def test_the_facts_of_a_request_name_all_accounts_of_who_asked(runbook: Runbook) -> None:
    folded = fold_all([line(1, requested_event())], state(runbook))
    facts = asking.facts(folded.requests["r-1"], policies(1))
    assert facts.requester.slack == {"U0ALICE"}
    assert facts.requester.os_users == {"alice"}
    assert (facts.state, facts.decided_by) == ("pending", None)
    assert facts.expires_at == parse_rfc3339("2026-11-24T02:22:31.000000Z")


def test_a_view_shows_the_request_as_the_record_has_it(runbook: Runbook) -> None:
    made = document(runbook, policies(1))
    data = requested_event().data.model_copy(
        update={"document": made.model_dump(mode="json"), "digest": document_digest(made)}
    )
    events = [
        requested_event().model_copy(update={"data": data}),
        decided(),
        claimed(),
        started("x-1", "fix", request="r-1"),
        finished("error", "x-1", "fix"),
        ended("failed"),
    ]
    folded = state(runbook)
    for seq, event in enumerate(events, 1):
        folded = fold_all([line(seq, event)], folded)
    view = asking.view(folded, folded.requests["r-1"], policies(1))
    assert (view.title, view.runbook, view.rollback) == (
        "Enlarge the pool",
        "Checkout",
        "Shrink it",
    )
    assert (view.incident, view.severity, view.drill) == ("INC-7", 2, False)
    assert (view.state, view.decided_by, view.reason) == ("failed", "dana", "because")
    assert (view.document, view.fingerprint) == (made, document_digest(made)[:8])
    assert view.result == "error after 0.0 s: e"
    assert asking.view(folded, folded.requests["r-1"], None).usergroups == ()
