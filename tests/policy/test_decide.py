"""Who may decide on a request. One click that counts, and then everything that must not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookd.policy.decide import Approver, Click, Counted, Refused, RequestFacts, judge
from runbookd.policy.gates import Gate
from runbookd.policy.people import Identity

NOW = datetime(2026, 11, 24, 2, 7, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DIGEST = "ab" * 32

COMMANDERS = frozenset({"commanders"})
GATE = Gate(("production",), (COMMANDERS,), quorum=1, expires_s=900)
ALICE = Identity("alice", frozenset({"U0ALICE"}), frozenset({"alice"}))
REQUEST = RequestFacts(DIGEST, ALICE, expires_at=NOW + timedelta(minutes=15))
DANA = Approver("dana", slack="U0DANA", groups=COMMANDERS)
LEE = Approver("lee", slack="U0LEE", groups=COMMANDERS)
APPROVE = Click("approve", DIGEST, DANA, NOW)

both_decisions = pytest.mark.parametrize("decision", ["approve", "deny"])


def by(approver, decision="approve"):
    return replace(APPROVE, approver=approver, decision=decision)


def decide(click=APPROVE, *, gate=GATE, request=REQUEST, prior=(), now=NOW):
    return judge(gate, request, prior, click, now)


def refusal(*args, **kwargs):
    verdict = decide(*args, **kwargs)
    assert isinstance(verdict, Refused), verdict
    assert verdict.reason
    assert "\n" not in verdict.reason
    return verdict.reason


@both_decisions
def test_another_person_of_the_group_decides_in_slack(decision):
    assert decide(by(DANA, decision)) == Counted(complete=True, person="dana")


@both_decisions
def test_another_person_of_the_group_decides_on_the_console(decision):
    dana = Approver("dana", os_user="dana", groups=COMMANDERS)
    assert decide(by(dana, decision)) == Counted(complete=True, person="dana")


def test_a_member_of_the_slack_group_whom_the_policy_does_not_name_decides():
    stranger = Approver(slack="U0NEW", groups=COMMANDERS)
    assert decide(by(stranger)) == Counted(complete=True, person="slack:U0NEW")


def test_an_os_user_whom_the_policy_does_not_name_decides():
    stranger = Approver(os_user="1004", groups=COMMANDERS)
    assert decide(by(stranger)) == Counted(complete=True, person="os:1004")


@both_decisions
@pytest.mark.parametrize(
    "state",
    [
        "approved",
        "executing",
        "done",
        "failed",
        "unknown",
        "denied",
        "expired",
        "revoked",
        "superseded",
        "",
    ],
)
def test_the_first_decision_wins_and_a_later_click_is_told_who_made_it(state, decision):
    request = replace(REQUEST, state=state, decided_by="lee")
    assert f"is {state} already by lee" in refusal(by(DANA, decision), request=request)


@both_decisions
@pytest.mark.parametrize("digest", ["", DIGEST[:8], DIGEST[:-1], DIGEST.upper(), "cd" * 32])
def test_a_click_for_another_digest_does_not_count(digest, decision):
    assert "another digest" in refusal(replace(by(DANA, decision), digest=digest))


@both_decisions
@pytest.mark.parametrize("late", [timedelta(0), TICK, timedelta(days=1)])
def test_a_click_at_or_after_the_expiry_does_not_count(late, decision):
    assert "expired" in refusal(by(DANA, decision), now=REQUEST.expires_at + late)


def test_a_click_a_microsecond_before_the_expiry_counts():
    assert isinstance(decide(now=REQUEST.expires_at - TICK), Counted)


def test_a_clock_set_back_after_the_click_gains_no_time():
    late = replace(APPROVE, at=REQUEST.expires_at)
    assert "expired" in refusal(late, now=NOW)


def test_a_click_in_time_that_is_judged_late_does_not_count():
    in_time = replace(APPROVE, at=REQUEST.expires_at - TICK)
    assert "expired" in refusal(in_time, now=REQUEST.expires_at)


@both_decisions
@pytest.mark.parametrize(
    "nobody",
    [
        Approver(groups=COMMANDERS),
        Approver("dana", groups=COMMANDERS),
        Approver("dana", slack="", os_user="", groups=COMMANDERS),
    ],
)
def test_somebody_without_an_account_does_not_count(nobody, decision):
    assert "not known who this is" in refusal(by(nobody, decision))


@both_decisions
@pytest.mark.parametrize(
    "problem", ["a guest", "a bot", "deactivated", "of another workspace", "the look-up failed"]
)
def test_an_account_with_a_problem_does_not_count(problem, decision):
    assert problem in refusal(by(replace(DANA, problems=(problem,)), decision))


@both_decisions
@pytest.mark.parametrize(
    "oneself",
    [
        pytest.param(Approver("alice", slack="U0ALICE"), id="the same Slack account"),
        pytest.param(Approver("alice", os_user="alice"), id="the same OS user"),
        pytest.param(Approver("alice", slack="U0ALICE2"), id="a second Slack account"),
        pytest.param(Approver("alice", os_user="root"), id="a second OS user"),
        pytest.param(Approver(slack="U0ALICE"), id="the Slack account without a person"),
        pytest.param(Approver(os_user="alice"), id="the OS user without a person"),
        pytest.param(Approver("dana", slack="U0ALICE"), id="one's Slack account as another"),
        pytest.param(Approver("dana", os_user="alice"), id="one's OS user as another"),
        pytest.param(Approver("alice", "U0DANA", "dana"), id="one's name, other accounts"),
    ],
)
def test_nobody_decides_on_their_own_request(oneself, decision):
    admin = replace(oneself, groups=frozenset({"commanders", "admins", "approvers"}))
    assert "another person must" in refusal(by(admin, decision))


@both_decisions
def test_a_requester_whose_slack_account_is_unknown_is_not_decided_on_in_slack(decision):
    request = replace(REQUEST, requester=Identity("alice", os_users=frozenset({"alice"})))
    assert "Slack account is unknown" in refusal(by(DANA, decision), request=request)
    console = Approver("dana", os_user="dana", groups=COMMANDERS)
    assert isinstance(decide(by(console, decision), request=request), Counted)


@both_decisions
def test_a_requester_whose_os_user_is_unknown_is_not_decided_on_at_the_console(decision):
    request = replace(REQUEST, requester=Identity("alice", slack=frozenset({"U0ALICE"})))
    console = Approver("dana", os_user="dana", groups=COMMANDERS)
    assert "OS user is unknown" in refusal(by(console, decision), request=request)
    assert isinstance(decide(by(DANA, decision), request=request), Counted)


@both_decisions
@pytest.mark.parametrize("requester", [Identity(), Identity("alice")])
def test_a_requester_without_any_account_is_not_decided_on(requester, decision):
    request = replace(REQUEST, requester=requester)
    assert "not known who asked" in refusal(by(DANA, decision), request=request)


@both_decisions
@pytest.mark.parametrize(
    "groups", [frozenset(), frozenset({"approvers"}), frozenset({"Commanders"})]
)
def test_somebody_outside_the_group_does_not_count(groups, decision):
    reason = refusal(by(replace(DANA, groups=groups), decision))
    assert "only members of commanders may decide" in reason


@both_decisions
@pytest.mark.parametrize("groups", [(), (frozenset(),), (COMMANDERS, frozenset())])
def test_no_group_means_nobody(groups, decision):
    refusal(by(DANA, decision), gate=replace(GATE, groups=groups))


def test_an_approver_is_in_a_group_of_every_rule():
    gate = replace(GATE, groups=(COMMANDERS, frozenset({"leads", "dbas"})))
    assert "dbas or leads" in refusal(by(DANA), gate=gate)
    both = replace(DANA, groups=frozenset({"commanders", "dbas"}))
    assert isinstance(decide(by(both), gate=gate), Counted)


TWO = replace(GATE, quorum=2)


def test_a_quorum_of_two_wants_two_people():
    assert decide(gate=TWO) == Counted(complete=False, person="dana")
    assert decide(by(LEE), gate=TWO, prior=(DANA.identity,)) == Counted(complete=True, person="lee")


@pytest.mark.parametrize(
    "again",
    [
        DANA,
        Approver("dana", slack="U0DANA2", groups=COMMANDERS),
        Approver("dana", os_user="dana", groups=COMMANDERS),
        Approver(slack="U0DANA", groups=COMMANDERS),
    ],
)
def test_the_same_person_counts_once_however_they_come(again):
    assert "has approved already" in refusal(by(again), gate=TWO, prior=(DANA.identity,))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Identity(None, frozenset({"U0NEW"})), Approver(os_user="new", groups=COMMANDERS)),
        (Identity(None, frozenset(), frozenset({"new"})), Approver(slack="U0N", groups=COMMANDERS)),
        (Identity("dana", frozenset({"U0DANA"})), Approver(os_user="new", groups=COMMANDERS)),
    ],
)
def test_two_accounts_that_cannot_be_told_apart_are_not_two_people(first, second):
    assert "not known whether" in refusal(by(second), gate=TWO, prior=(first,))


def test_two_unnamed_slack_members_are_two_people():
    first = Identity(None, frozenset({"U0NEW"}))
    second = Approver(slack="U0OTHER", groups=COMMANDERS)
    assert decide(by(second), gate=TWO, prior=(first,)) == Counted(True, "slack:U0OTHER")


def test_the_same_prior_twice_is_one_person():
    three = replace(GATE, quorum=3)
    verdict = decide(by(LEE), gate=three, prior=(DANA.identity, DANA.identity))
    assert verdict == Counted(complete=False, person="lee")


def test_more_than_the_quorum_is_enough():
    one = replace(GATE, quorum=1)
    assert decide(by(LEE), gate=one, prior=(DANA.identity,)) == Counted(True, "lee")


def test_one_denial_ends_it_whatever_the_quorum():
    five = replace(GATE, quorum=5)
    assert decide(by(LEE, "deny"), gate=five, prior=(DANA.identity,)) == Counted(True, "lee")


def test_whoever_approved_may_still_deny():
    verdict = decide(by(DANA, "deny"), gate=TWO, prior=(DANA.identity,))
    assert verdict == Counted(complete=True, person="dana")


PERSONS = st.sampled_from([None, "alice", "dana", "lee"])
SLACK = st.sampled_from([None, "", "U0ALICE", "U0DANA", "U0NEW"])
OS = st.sampled_from([None, "", "alice", "dana", "new"])
GROUPS = st.frozensets(st.sampled_from(["commanders", "leads", "approvers"]))
APPROVERS = st.builds(
    Approver,
    person=PERSONS,
    slack=SLACK,
    os_user=OS,
    groups=GROUPS,
    problems=st.sampled_from([(), ("a guest",)]),
)
IDENTITIES = st.builds(
    Identity,
    person=PERSONS,
    slack=st.frozensets(st.sampled_from(["U0ALICE", "U0DANA"])),
    os_users=st.frozensets(st.sampled_from(["alice", "dana"])),
)
TIMES = st.integers(-2, 2).map(lambda n: REQUEST.expires_at + n * TICK)


@given(
    decision=st.sampled_from(["approve", "deny"]),
    approver=APPROVERS,
    requester=IDENTITIES,
    prior=st.lists(IDENTITIES.filter(lambda each: each.known or each.person), max_size=3),
    groups=st.lists(GROUPS, max_size=3),
    quorum=st.integers(1, 4),
    state=st.sampled_from(["pending", "approved", "denied"]),
    digest=st.sampled_from([DIGEST, DIGEST[:8]]),
    at=TIMES,
    now=TIMES,
)
def test_a_decision_that_counts_satisfies_every_promise(
    decision, approver, requester, prior, groups, quorum, state, digest, at, now
):
    gate = Gate((), tuple(groups), quorum, 900)
    request = replace(REQUEST, requester=requester, state=state)
    verdict = judge(gate, request, tuple(prior), Click(decision, digest, approver, at), now)
    if isinstance(verdict, Refused):
        assert verdict.reason
        return
    assert (state, digest) == ("pending", DIGEST)
    assert at < REQUEST.expires_at
    assert now < REQUEST.expires_at
    assert approver.slack or approver.os_user
    assert not approver.problems
    assert groups
    assert all(approver.groups & each for each in groups)
    assert approver.person is None or approver.person != requester.person
    assert approver.slack not in requester.slack
    assert approver.os_user not in requester.os_users
    assert approver.slack is None or requester.slack
    assert approver.os_user is None or requester.os_users
    if decision == "deny":
        assert verdict.complete
        return
    for other in prior:
        assert approver.slack not in other.slack
        assert approver.os_user not in other.os_users
        assert approver.person is None or approver.person != other.person
    people = {each.actor_id for each in prior} | {verdict.person}
    assert verdict.complete == (len(people) >= quorum)
