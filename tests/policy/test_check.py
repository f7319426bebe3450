"""What is allowed in a policy but is probably not meant."""

import pytest

from runbookd.policy.check import warnings
from runbookd.policy.load import load_policies

GOOD = """\
version: 1
identities: [{person: dana, slack: U0DANA}]
groups: {approvers: {people: [dana]}, commanders: {slack_usergroup: S0COMMAND}}
rules: [{name: r, approve: {by: [commanders]}}]
connectors:
  c:
    url: https://c
    credential: {header: A, secret: "env:A"}
    read-only: ["GET /"]
    gated: ["POST /"]
"""


def found(folder, old="", new=""):
    assert old in GOOD
    (folder / "p.yaml").write_text(GOOD.replace(old, new) if old else GOOD + new)
    return warnings(load_policies(folder))


def test_a_good_policy_gives_no_warning(tmp_path):
    assert found(tmp_path) == ()


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("approvers:", "aprovers:", "the group approvers (cells that no rule matches) is not"),
        ("approvers: {people: [dana]}", "approvers: {}", "the group approvers (cells that no rule"),
        ("by: [commanders]", "by: [comanders]", "the group comanders (rule r) is not defined"),
        ("{slack_usergroup: S0COMMAND}", "{}", "the group commanders (rule r) is empty"),
        ("people: [dana]", "people: [dan]", "names dan, who is not in identities"),
        ("by: [commanders]", "by: []", "rule r names no group"),
        ("by: [commanders]", "by: [approvers], quorum: 2", "needs 2 people, but its groups have"),
        ('read-only: ["GET /"]', 'read-only: ["POST /q"]', "lets the read-only lane send POST /q"),
        ("https://c", "http://c", "sends its credential over plain HTTP"),
        ("", "lanes: {read-only: {sandbox: unenforced}}", "a promise, not a wall"),
        ("", "retention: {sessions: 1d}", "retention is not in force yet"),
        (
            "by: [commanders]}",
            "by: [commanders]}, break_glass: {by: [commanders], review_within: 1h}",
            "rule r: break_glass is not in force yet",
        ),
        ("by: [commanders]", "by: [commanders], remind: 1m", "rule r: remind is not in force yet"),
        (
            "by: [commanders]",
            "by: [commanders], escalate: {after: 1m, to: [commanders]}",
            "rule r: escalate is not in force yet",
        ),
    ],
)
def test_a_doubtful_policy_is_warned_of(tmp_path, old, new, warning):
    assert any(warning in each for each in found(tmp_path, old, new))


def test_no_policies_at_all_are_warned_of(tmp_path):
    (only,) = warnings(load_policies(tmp_path))
    assert "the group approvers" in only
