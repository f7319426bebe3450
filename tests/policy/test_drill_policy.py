"""The drill's own policy, as it stands in the repository."""

from pathlib import Path

from runbookd.policy.gates import CellFacts, gate
from runbookd.policy.load import load_policies
from runbookd.policy.people import groups_of, identity_for

POLICIES = load_policies(Path(__file__).parent.parent.parent / "policies")


def drill_gate(risk, environment="production"):
    return gate(POLICIES, CellFacts("c", "gated", risk=risk, environment=environment))


def test_a_change_in_production_needs_one_commander_and_waits_for_the_responder():
    for risk in ("medium", "high", None):
        found = drill_gate(risk)
        assert found.rules == ("production-remediation",)
        assert found.groups == (frozenset({"commanders"}),)
        assert (found.quorum, found.expires_s, found.on_approval) == (1, 900, "hold")


def test_other_changes_need_an_approver_and_there_is_none():
    assert drill_gate("low").rules == ()
    assert drill_gate("high", "staging").rules == ()
    assert "approvers" not in POLICIES.groups


def test_the_responder_has_both_accounts_and_the_commander_is_found_in_slack():
    you = identity_for(POLICIES, os_user="drill-responder")
    assert you == identity_for(POLICIES, slack="U0YOU")
    dana = identity_for(POLICIES, slack="U0DANA")
    members = {"S0COMMAND": frozenset({"U0DANA", "U0LEE"})}
    assert groups_of(POLICIES, dana, slack_members=members) == {"commanders"}
    assert groups_of(POLICIES, you, slack_members=members) == frozenset()


def test_the_connectors_let_reading_through_and_changes_only_when_gated():
    checkout, admin = POLICIES.connectors["checkout"], POLICIES.connectors["checkout-admin"]
    assert all(each.startswith("GET ") for each in checkout.read_only + admin.read_only)
    assert checkout.gated == checkout.read_only
    assert set(admin.gated) - set(admin.read_only) == {"POST /admin/pool"}
    assert checkout.credential is None
    assert admin.credential.header == "Authorization"
