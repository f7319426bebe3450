"""Which rules apply to a cell, and what they ask for together."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookd.policy.gates import CellFacts, Gate, explain, gate, match
from runbookd.policy.model import Approve, Match, Policies, Rule

FACTS = CellFacts(
    "pool-fix",
    "gated",
    risk="medium",
    service="checkout",
    environment="production",
    severity=2,
    tags=("db", "pci"),
    runbook="checkout-latency.ipynb",
    parameters={"pool": "40", "region": '"eu-1"'},
)


def facts(**changes):
    values = {name: getattr(FACTS, name) for name in FACTS.__slots__}
    return CellFacts(**(values | changes))


def rule(name="r", match=None, when=None, on_approval="hold", **approve):
    return Rule(
        name=name,
        match=Match.model_validate(match or {}),
        when=when,
        approve=Approve.model_validate({"by": ["commanders"], **approve}),
        on_approval=on_approval,
    )


def policies(*rules):
    return Policies(digest="0" * 64, rules=rules)


def names(*rules, of=FACTS):
    return gate(policies(*rules), of).rules


def test_without_a_matching_rule_one_approver_is_needed():
    wanted = Gate((), (frozenset({"approvers"}),), 1, 900, None, "hold")
    assert gate(policies(), FACTS) == wanted
    assert gate(policies(rule(match={"environment": "staging"})), FACTS) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"environment": "production"},
        {"environment": ["staging", "production"]},
        {"environment": "PROD*"},
        {"risk": ["medium", "high"]},
        {"service": "*"},
        {"service": "check*"},
        {"runbook": "checkout-*.ipynb"},
        {"tags": ["pci"]},
        {"tags": ["p*", "nothing"]},
        {"tags": []},
        {"risk": []},
        {"environment": "production", "risk": ["medium"], "tags": ["db"]},
    ],
)
def test_a_rule_that_matches_applies(wanted):
    assert names(rule(match=wanted)) == ("r",)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"environment": "staging"}, "environment is production, not staging"),
        ({"environment": "prod"}, "environment is production, not prod"),
        ({"risk": ["high"]}, "risk is medium, not high"),
        ({"service": "pay*"}, "service is checkout, not pay*"),
        ({"runbook": "other.ipynb"}, "runbook is checkout-latency.ipynb, not other.ipynb"),
        ({"tags": ["gdpr", "x"]}, "tags is db, pci, not gdpr or x"),
        ({"environment": "production", "risk": ["low"]}, "risk is medium, not low"),
    ],
)
def test_a_rule_that_does_not_match_does_not_apply_and_says_why(wanted, why):
    assert names(rule(match=wanted)) == ()
    assert match(rule(match=wanted), FACTS).why == why


@pytest.mark.parametrize(
    ("wanted", "unknown"),
    [
        ({"environment": "production"}, {"environment": ""}),
        ({"risk": ["low"]}, {"risk": None}),
        ({"service": "payments"}, {"service": ""}),
        ({"runbook": "x"}, {"runbook": ""}),
    ],
)
def test_what_is_not_known_matches_every_rule(wanted, unknown):
    assert names(rule(match=wanted), of=facts(**unknown)) == ("r",)
    assert "unknown, so it applies" in match(rule(match=wanted), facts(**unknown)).why


def test_a_runbook_without_tags_has_none():
    assert names(rule(match={"tags": ["db"]}), of=facts(tags=())) == ()


@pytest.mark.parametrize("spelling", ["Production", "PRODUCTION", " production "])
def test_spelling_does_not_lead_round_a_rule(spelling):
    wanted = rule(match={"environment": "production"})
    assert names(wanted, of=facts(environment=spelling)) == ("r",)


@pytest.mark.parametrize(
    "when",
    [
        "session.severity <= 2",
        "session.environment == 'production' && session.service == 'checkout'",
        "'db' in session.tags",
        "session.tags.exists(t, t.startsWith('p'))",
        "cell.id == 'pool-fix' && cell.mode == 'gated' && cell.risk == 'medium'",
        "session.runbook.endsWith('.ipynb')",
        "parameters.pool > 20 && parameters.region == 'eu-1'",
        "true",
    ],
)
def test_a_condition_that_is_true_applies(when):
    assert names(rule(when=when)) == ("r",)


@pytest.mark.parametrize(
    "when", ["session.severity > 2", "parameters.pool > 40", "false", "'x' in session.tags"]
)
def test_a_condition_that_is_false_does_not_apply(when):
    assert names(rule(when=when)) == ()
    assert match(rule(when=when), FACTS).why == "the condition is false"


@pytest.mark.parametrize(
    "when",
    [
        "nothing.like.this",
        "sesion.severity > 5",
        "session.severty > 5",
        "session.severity > 'x'",
        "parameters.none == 1",
        "parameters.pool > 50.5",
        "session.severity",
        "'false'",
        "0",
        "null",
        "1 / 0 == 1",
        "9223372036854775807 + 1 < 0",
    ],
)
def test_a_condition_that_cannot_be_decided_applies(when):
    assert names(rule(when=when)) == ("r",)


@pytest.mark.parametrize(
    ("when", "unknown"),
    [
        ("session.severity == 1", {"severity": None}),
        ("session.environment == 'staging'", {"environment": ""}),
        ("session.service == 'payments'", {"service": ""}),
        ("cell.risk == 'low'", {"risk": None}),
        ("parameters.pool == 5", {"parameters": {"pool": "{broken"}}),
        ("parameters.pool > 5", {"parameters": {"pool": "null"}}),
        ("parameters.pool > 5", {"parameters": {"pool": "9" * 30}}),
        ("parameters.pool > 5", {"parameters": {"pool": "9" * 5000}}),
        ("parameters.pool > 5", {"parameters": {}}),
    ],
)
def test_a_condition_on_what_is_not_known_applies(when, unknown):
    assert names(rule(when=when)) in {(), ("r",)}
    assert names(rule(when=when), of=facts(**unknown)) == ("r",)


def test_a_condition_counts_only_where_the_rest_matches():
    assert names(rule(match={"environment": "staging"}, when="true")) == ()


def test_every_matching_rule_applies_and_the_strictest_value_of_each_wins():
    one = rule("one", by=["commanders"], quorum=1, expires="15m", on_approval="run", remind="5m")
    two = rule("two", by=["leads", "dbas"], quorum=3, expires="30m", on_approval="hold")
    three = rule("three", by=["commanders"], quorum=2, expires="10m", remind="2m")
    other = rule("other", match={"environment": "staging"}, by=["x"], quorum=9, expires="1s")
    found = gate(policies(one, two, three, other), FACTS)
    assert found.rules == ("one", "two", "three")
    assert set(found.groups) == {frozenset({"commanders"}), frozenset({"leads", "dbas"})}
    assert (found.quorum, found.expires_s, found.remind_s) == (3, 600, 120)
    assert found.on_approval == "hold"
    assert found.group_names == ("commanders", "dbas", "leads")


def test_only_when_every_rule_says_run_is_it_run_at_once():
    assert gate(policies(rule(on_approval="run")), FACTS).on_approval == "run"
    assert gate(policies(rule("a", on_approval="run"), rule("b")), FACTS).on_approval == "hold"


def test_a_rule_that_names_nobody_lets_nobody_approve():
    found = gate(policies(rule("a"), rule("nobody", by=[])), FACTS)
    assert frozenset() in found.groups


RULES = st.builds(
    rule,
    name=st.sampled_from("abcdef"),
    by=st.lists(st.sampled_from(["commanders", "leads", "dbas"]), max_size=3),
    quorum=st.integers(1, 5),
    expires=st.integers(1, 90).map(lambda n: f"{n}m"),
    on_approval=st.sampled_from(["hold", "run"]),
    match=st.fixed_dictionaries(
        {}, optional={"environment": st.sampled_from(["production", "staging"])}
    ),
)


@given(st.lists(RULES, min_size=1, max_size=4), RULES)
def test_one_more_matching_rule_never_makes_a_gate_weaker(rules, more):
    before, after = gate(policies(*rules), FACTS), gate(policies(*rules, more), FACTS)
    if before.rules:
        assert set(before.groups) <= set(after.groups)
        assert after.quorum >= before.quorum
        assert after.expires_s <= before.expires_s
        assert (before.on_approval, after.on_approval) != ("hold", "run")


@given(st.lists(RULES, max_size=4))
def test_a_gate_survives_the_way_through_a_record(rules):
    found = gate(policies(*rules), FACTS)
    back = Gate.from_json(json.loads(json.dumps(found.to_json())))
    assert back == found
    assert back.to_json() == found.to_json()


def test_an_explanation_says_cell_by_cell_which_rule_applies_and_why():
    here, not_here = rule("here"), rule("not-here", match={"environment": "staging"})
    read_only = facts(cell="look", mode="read-only")
    first, second = explain(policies(here, not_here), [read_only, FACTS])
    assert (first.cell, first.gate, first.rules) == ("look", None, ())
    assert second.gate == gate(policies(here, not_here), FACTS)
    assert [(each.rule, each.applies) for each in second.rules] == [
        ("here", True),
        ("not-here", False),
    ]
    assert all(each.why for each in second.rules)
