"""Who somebody is, and in which groups."""

import pytest

from runbookd.policy.model import Group, PersonNames, Policies
from runbookd.policy.people import (
    Identity,
    groups_of,
    identity_for,
    identity_of,
    person_for,
    slack_usergroups,
)

POLICIES = Policies(
    digest="0" * 64,
    identities=(
        PersonNames(person="alice", os_user="alice", slack=["U0ALICE", "U0ALICE2"]),
        PersonNames(person="dana", slack="U0DANA"),
        PersonNames(person="lee", os_user=["lee", "lee-admin"]),
    ),
    groups={
        "commanders": Group(slack_usergroup="S0COMMAND", people=("lee",)),
        "dbas": Group(os_groups=("dba",)),
        "leads": Group(people=("dana",)),
        "empty": Group(),
    },
)
ALICE = Identity("alice", frozenset({"U0ALICE", "U0ALICE2"}), frozenset({"alice"}))
LEE = Identity("lee", frozenset(), frozenset({"lee", "lee-admin"}))


@pytest.mark.parametrize(
    ("accounts", "person"),
    [
        ({"os_user": "alice"}, "alice"),
        ({"slack": "U0ALICE2"}, "alice"),
        ({"os_user": "alice", "slack": "U0ALICE"}, "alice"),
        ({"os_user": "alice", "slack": "U0NEW"}, "alice"),
        ({"os_user": "alice", "slack": "U0DANA"}, None),
        ({"os_user": "dana"}, None),
        ({"slack": "alice"}, None),
        ({"os_user": ""}, None),
        ({}, None),
    ],
)
def test_an_account_belongs_to_a_person_or_to_nobody(accounts, person):
    assert person_for(POLICIES, **accounts) == person


def test_an_identity_has_all_accounts_of_the_person():
    assert identity_for(POLICIES, os_user="alice") == ALICE
    assert identity_for(POLICIES, slack="U0ALICE2") == ALICE
    assert identity_for(POLICIES, os_user="lee-admin") == LEE


def test_somebody_unknown_has_the_account_they_came_with():
    found = identity_for(POLICIES, slack="U0NEW")
    assert found == Identity(None, frozenset({"U0NEW"}), frozenset())
    assert found.actor_id == "slack:U0NEW"
    assert identity_for(POLICIES, os_user="1004").actor_id == "os:1004"


def test_nobody_is_not_known_and_has_no_id():
    assert not identity_for(POLICIES).known
    with pytest.raises(ValueError, match="no id"):
        _ = Identity().actor_id


@pytest.mark.parametrize(
    "identity", [ALICE, LEE, Identity(None, frozenset({"U0NEW"})), identity_for(POLICIES)]
)
def test_an_actor_id_leads_back_to_the_identity(identity):
    if identity.known:
        assert identity_of(POLICIES, identity.actor_id) == identity


def test_an_account_recorded_before_the_policy_named_it_is_the_person_now():
    assert identity_of(POLICIES, "slack:U0ALICE") == ALICE
    assert identity_of(POLICIES, "os:alice") == ALICE


def test_a_person_whom_the_policy_no_longer_names_has_no_account():
    assert identity_of(POLICIES, "mallory") == Identity("mallory")
    assert not identity_of(POLICIES, "mallory").known


def groups(identity, members=None, os_groups=()):
    return groups_of(
        POLICIES, identity, slack_members=members or {}, os_groups=frozenset(os_groups)
    )


def test_a_person_is_in_the_groups_that_name_them():
    assert groups(LEE) == {"commanders"}
    assert groups(identity_for(POLICIES, slack="U0DANA")) == {"leads"}


def test_a_member_of_the_slack_group_is_in_the_group():
    assert groups(ALICE, {"S0COMMAND": frozenset({"U0ALICE2"})}) == {"commanders"}
    assert groups(ALICE, {"S0COMMAND": frozenset({"U0DANA"})}) == frozenset()
    assert groups(ALICE, {"S0OTHER": frozenset({"U0ALICE"})}) == frozenset()


def test_a_slack_group_that_could_not_be_looked_up_has_nobody_in_it():
    assert groups(ALICE) == frozenset()


def test_a_group_without_a_slack_group_takes_nobody_from_slack():
    assert groups(ALICE, {"": frozenset({"U0ALICE"})}) == frozenset()


def test_a_member_of_the_os_group_is_in_the_group():
    assert groups(Identity(None, os_users=frozenset({"bob"})), os_groups=["dba"]) == {"dbas"}
    assert groups(Identity(None, os_users=frozenset({"dba"}))) == frozenset()


def test_somebody_unknown_is_in_no_group_of_people():
    assert groups(Identity(None, frozenset({"U0NEW"}))) == frozenset()


def test_the_slack_groups_to_look_up():
    named = ["commanders", "leads", "dbas", "missing"]
    assert slack_usergroups(POLICIES, named) == {"S0COMMAND"}
