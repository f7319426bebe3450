"""From a press of a button in Slack to a decision in the session."""

import asyncio
import json
from typing import Any

import pytest

from runbookd.approvals.slack.blocks import APPROVE, DENY, READ, REASON_ACTION, REASON_BLOCK
from runbookd.errors import RecordUnwritable

from .. import samples
from .world import World, becomes

ENTERED = {REASON_BLOCK: {REASON_ACTION: "the pool is not the cause"}}


async def deny(world: World, user: str) -> dict[str, Any]:
    """Open the modal as ``user``; the view."""
    assert (await world.press(user, DENY))["ok"]
    view: dict[str, Any] = (await world.view_of(user))["view"]
    return view


async def test_an_approval_reaches_the_session_with_who_what_and_fresh_facts(world: World) -> None:
    assert (await world.press("U0DANA", APPROVE))["ok"]
    (incoming,) = world.session.taken
    assert incoming.decision == "approve"
    assert incoming.request == "r-1"
    assert incoming.session == "s-1"
    assert incoming.digest == world.session.view.digest
    assert incoming.identity.user == "U0DANA"
    assert incoming.identity.team == "T0DRILL"
    assert incoming.facts.problems == ()
    assert incoming.facts.usergroups == ("S0COMMAND",)
    assert world.session.view.state == "approved"
    assert world.messages(shown_to="U0DANA") == []


async def test_a_click_is_acknowledged_only_once_the_decision_is_kept(world: World) -> None:
    world.session.hold = asyncio.Event()
    pressing = asyncio.create_task(world.press("U0DANA", APPROVE))
    await world.session.entered.wait()
    envelope = (await world.control.state())["envelopes"][-1]
    assert envelope["state"] == "sent"
    world.session.hold.set()
    assert (await pressing)["ok"]
    assert len(world.session.taken) == 1


async def test_a_decision_that_cannot_be_recorded_is_not_acknowledged(world: World) -> None:
    world.session.error = RecordUnwritable("the record cannot be extended any more")
    pressed = await world.press("U0DANA", APPROVE)
    assert pressed["error"] == "unacknowledged"
    assert "cannot be extended" in await world.told("U0DANA")
    world.session.error = None
    assert (await world.press("U0DANA", APPROVE))["ok"]
    assert world.session.view.state == "approved"


async def test_a_fault_in_the_session_does_not_end_the_channel(world: World) -> None:
    world.session.error = ZeroDivisionError()
    assert not (await world.press("U0DANA", APPROVE))["ok"]
    assert not world.running.done()
    world.session.error = None
    assert (await world.press("U0DANA", APPROVE))["ok"]


async def test_a_denial_asks_for_a_reason_and_carries_it(world: World) -> None:
    view = await deny(world, "U0DANA")
    assert world.session.taken == []
    assert (await world.control.submit("U0DANA", view["id"], ENTERED))["ok"]
    (incoming,) = world.session.taken
    assert incoming.decision == "deny"
    assert incoming.reason == "the pool is not the cause"
    assert incoming.identity.user == "U0DANA"
    assert world.session.view.state == "denied"


@pytest.mark.parametrize("reason", ["   ", "\n"])
async def test_a_denial_without_a_reason_is_sent_back_to_the_form(
    world: World, reason: str
) -> None:
    view = await deny(world, "U0DANA")
    answer = await world.control.submit(
        "U0DANA", view["id"], {REASON_BLOCK: {REASON_ACTION: reason}}
    )
    assert REASON_BLOCK in answer["errors"]
    assert world.session.taken == []


async def test_a_denial_that_was_too_late_says_so(world: World) -> None:
    view = await deny(world, "U0LEE")
    assert (await world.press("U0DANA", APPROVE))["ok"]
    assert (await world.control.submit("U0LEE", view["id"], ENTERED))["ok"]
    assert "approved already" in await world.told("U0LEE")
    assert world.session.view.state == "approved"


async def test_the_requester_cannot_approve_even_as_a_member_of_the_group(world: World) -> None:
    await world.control.do("group", group="S0COMMAND", users=["U0YOU", "U0DANA"])
    assert (await world.press("U0YOU", APPROVE))["ok"]
    assert "whoever asks cannot decide" in await world.told("U0YOU")
    assert world.session.view.state == "pending"


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        ("U0GUEST", "a guest"),
        ("U0BOT", "a bot"),
        ("U0GONE", "deactivated"),
        ("U0EXT", "of another workspace"),
    ],
)
async def test_somebody_who_may_not_decide_is_told_why_and_nobody_else_is(
    world: World, user: str, problem: str
) -> None:
    await world.control.do("group", group="S0COMMAND", users=[user])
    if user == "U0EXT":
        # As Slack describes a stranger in a shared channel whose click bears our team.
        await world.control.do("member", user=user, set={"team_id": "T0DRILL"})
    assert (await world.press(user, APPROVE))["ok"]
    assert problem in await world.told(user)
    assert problem in world.session.taken[0].facts.problems
    assert world.session.view.state == "pending"
    assert all(m["shown_to"] in (None, user) for m in world.messages())


@pytest.mark.parametrize(
    "change",
    [
        {"is_bot": True},
        {"deleted": True},
        {"is_restricted": True},
        {"is_ultra_restricted": True},
        {"is_stranger": True},
    ],
)
async def test_whoever_lost_their_rights_since_the_request_was_posted_cannot_decide(
    world: World, change: dict[str, bool]
) -> None:
    await world.control.do("member", user="U0DANA", set=change)
    assert (await world.press("U0DANA", APPROVE))["ok"]
    assert world.session.taken[0].facts.problems
    assert world.session.view.state == "pending"


async def test_slackbot_is_a_bot_although_slack_does_not_call_it_one(world: World) -> None:
    await world.control.do("member", user="USLACKBOT", set={"is_bot": False})
    await world.control.do("group", group="S0COMMAND", users=["USLACKBOT"])
    assert (await world.press("USLACKBOT", APPROVE))["ok"]
    assert world.session.taken[0].facts.problems == ("a bot",)
    assert world.session.view.state == "pending"


async def test_a_person_who_has_authorised_the_app_is_no_bot(world: World) -> None:
    await world.control.do("member", user="U0DANA", set={"is_app_user": True})
    await world.press("U0DANA", APPROVE)
    assert world.session.view.state == "approved"


async def test_the_workspace_that_counts_is_the_one_that_slack_looks_up(world: World) -> None:
    await world.control.do("hold")
    await world.press("U0DANA", APPROVE)
    await world.control.do("member", user="U0DANA", set={"team_id": "T0OTHER"})
    await world.control.do("release")
    assert world.session.taken[0].facts.problems == ("of another workspace",)
    assert world.session.view.state == "pending"


async def test_membership_counts_as_it_is_at_the_click(world: World) -> None:
    await world.control.do("group", group="S0COMMAND", users=["U0MAX"])
    assert (await world.press("U0DANA", APPROVE))["ok"]
    assert "only members of commanders" in await world.told("U0DANA")
    assert (await world.press("U0MAX", APPROVE))["ok"]
    assert world.session.view.state == "approved"


@pytest.mark.parametrize("method", ["users.info", "usergroups.users.list"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error", "error": "user_not_found"},
        {"kind": "ratelimited"},
        {"kind": "http", "status": 503},
        # Twice: aiohttp itself tries once more when a kept connection was cut.
        {"kind": "lost", "times": 2},
        {"kind": "hang", "seconds": 4.0},
    ],
)
async def test_a_look_up_that_fails_means_no_and_still_in_time(
    world: World, method: str, fault: dict[str, Any]
) -> None:
    await world.control.do("fault", method=method, **fault)
    assert (await world.press("U0DANA", APPROVE))["ok"]
    assert world.session.taken[0].facts.problems == ("the look-up failed",)
    assert world.session.taken[0].facts.usergroups == ()
    assert "the look-up failed" in await world.told("U0DANA")
    assert world.session.view.state == "pending"


async def test_a_replayed_envelope_is_acknowledged_and_changes_nothing(world: World) -> None:
    pressed = await world.press("U0DANA", APPROVE)
    assert (await world.control.do("replay", envelope_id=pressed["envelope_id"]))["ok"]
    assert len(world.session.taken) == 1


async def test_a_replayed_denial_is_one_denial(world: World) -> None:
    view = await deny(world, "U0DANA")
    sent = await world.control.submit("U0DANA", view["id"], ENTERED)
    assert (await world.control.do("replay", envelope_id=sent["envelope_id"]))["ok"]
    assert len(world.session.taken) == 1


async def test_the_same_click_delivered_twice_at_once_is_one_decision(world: World) -> None:
    await world.control.do("hold")
    await world.press("U0DANA", APPROVE)
    payload = await world.payload()
    answers = await asyncio.gather(
        *(world.control.do("deliver", payload=payload) for _ in range(4))
    )
    assert all(answer["ok"] for answer in answers)
    assert len(world.session.taken) == 1


async def test_approving_and_denying_at_once_both_reach_the_session_and_one_wins(
    world: World,
) -> None:
    view = await deny(world, "U0LEE")
    await asyncio.gather(
        world.press("U0DANA", APPROVE), world.control.submit("U0LEE", view["id"], ENTERED)
    )
    assert len(world.session.taken) == 2
    assert [reply.accepted for reply in world.session.replies] == [True, False]


FORGERIES: dict[str, Any] = {
    "another team": ({"team": {"id": "T0EVIL"}}, "of this workspace"),
    "a user of another team": ({"user": {"id": "U0DANA", "team_id": "T0EVIL"}}, "this workspace"),
    "an enterprise": ({"enterprise": {"id": "E0EVIL"}}, "of this organisation"),
    "another app": ({"api_app_id": "A0EVIL"}, None),
    "another channel": ({"container": {"channel_id": "C0GENERAL"}}, "does not show that request"),
    "another message": ({"container": {"message_ts": "1.0"}}, "does not show that request"),
    "another bot": ({"message": {"bot_id": "B0EVIL"}}, "does not show that request"),
    "an ephemeral message": ({"container": {"is_ephemeral": True}}, None),
    "no user": ({"user": None}, None),
    "no actions": ({"actions": []}, None),
    "two actions": ({"actions": [{"action_id": APPROVE}, {"action_id": APPROVE}]}, None),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_an_envelope_that_is_not_ours_decides_nothing(world: World, forgery: str) -> None:
    changes, answer = FORGERIES[forgery]
    await world.control.do("hold")
    await world.press("U0DANA", APPROVE)
    payload = await world.payload()
    for name, value in changes.items():
        whole = isinstance(value, dict) and isinstance(payload[name], dict)
        payload[name] = {**payload[name], **value} if whole else value
    assert (await world.control.do("deliver", payload=payload))["ok"]
    if answer is not None:
        assert answer in await world.told("U0DANA")
    assert world.session.taken == []
    assert (world.messages(shown_to="U0DANA") == []) == (answer is None)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"request": "r-2"}, "does not show that request"),
        ({"session": "s-2"}, "does not show that request"),
        ({"digest": "f" * 64}, "another digest"),
    ],
)
async def test_a_forged_button_value_decides_nothing(
    world: World, changes: dict[str, str], answer: str
) -> None:
    await world.control.do("hold")
    await world.press("U0DANA", APPROVE)
    payload = await world.payload()
    value = json.loads(payload["actions"][0]["value"])
    payload["actions"][0]["value"] = json.dumps({**value, **changes})
    assert (await world.control.do("deliver", payload=payload))["ok"]
    assert answer in await world.told("U0DANA")
    assert world.session.view.state == "pending"


async def submission(world: World) -> dict[str, Any]:
    """The payload of a denial of Dana's that was held back."""
    view = await deny(world, "U0DANA")
    await world.control.do("hold")
    await world.control.submit("U0DANA", view["id"], ENTERED)
    return await world.payload()


async def test_a_denial_is_of_whoever_submits_not_of_whoever_opened_the_modal(
    world: World,
) -> None:
    payload = await submission(world)
    payload["user"]["id"] = "U0MAX"
    assert (await world.control.do("deliver", payload=payload, accepts_response=True))["ok"]
    assert world.session.taken[0].identity.user == "U0MAX"
    assert world.session.view.state == "pending"


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"private_metadata": "{}"}, None),
        ({"private_metadata": {"request": "r-2"}}, "does not show that request"),
        ({"private_metadata": {"session": "s-2"}}, "does not show that request"),
        ({"private_metadata": {"digest": "f" * 64}}, "another digest"),
        ({"app_id": "A0EVIL"}, "does not show that request"),
        ({"callback_id": "somebody.else"}, None),
    ],
)
async def test_a_modal_that_was_tampered_with_decides_nothing(
    world: World, changes: dict[str, Any], answer: str | None
) -> None:
    payload = await submission(world)
    for name, value in changes.items():
        if isinstance(value, dict):
            value = json.dumps({**json.loads(payload["view"][name]), **value})
        payload["view"][name] = value
    assert (await world.control.do("deliver", payload=payload, accepts_response=True))["ok"]
    if answer is not None:
        assert answer in await world.told("U0DANA")
    assert world.session.view.state == "pending"


async def test_a_denial_from_another_workspace_decides_nothing(world: World) -> None:
    payload = await submission(world)
    payload["user"]["team_id"] = "T0EVIL"
    assert (await world.control.do("deliver", payload=payload, accepts_response=True))["ok"]
    assert "not of this workspace" in await world.told("U0DANA")
    assert world.session.taken == []


@pytest.mark.parametrize("button", [DENY])
async def test_a_trigger_that_is_too_old_asks_to_press_again(world: World, button: str) -> None:
    await world.control.do("hold")
    await world.press("U0DANA", button)
    await world.control.do("expire_triggers")
    await world.control.do("release")
    assert "Press the button again" in await world.told("U0DANA")
    await deny(world, "U0DANA")


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("events_api", {"event": {"type": "app_mention"}}),
        ("slash_commands", {"command": "/x"}),
        ("interactive", {}),
        ("interactive", {"type": "shortcut", "api_app_id": "A0RUNBOOKD"}),
        ("interactive", {"type": "block_actions", "actions": "x", "container": 7}),
        ("something.new", {"a": [1, None]}),
    ],
)
async def test_what_is_unknown_is_acknowledged_and_ignored(
    world: World, kind: str, payload: dict[str, Any]
) -> None:
    assert (await world.control.do("deliver", kind=kind, payload=payload))["ok"]
    assert world.session.taken == []
    assert (await world.press("U0DANA", APPROVE))["ok"]


@pytest.fixture
async def long_world(world: World) -> World:
    """A world whose request does not fit into a message."""
    document = samples.document(source="print('x')  # <&>\n" * 1_500)
    world.session.view = samples.view(of=document, id="r-long")
    await world.post()
    return world


async def test_what_does_not_fit_must_be_read_in_full_by_whoever_approves(
    long_world: World,
) -> None:
    world = long_world
    assert (await world.press("U0DANA", APPROVE))["ok"]
    assert "Read it in full" in await world.told("U0DANA")
    assert world.session.taken == []
    assert (await world.press("U0DANA", READ))["ok"]
    modal = (await world.view_of("U0DANA"))["view"]
    assert "print('x')" in json.dumps(modal["blocks"])
    assert (await world.press("U0LEE", APPROVE))["ok"]
    assert "Read it in full" in await world.told("U0LEE")
    assert world.session.taken == []
    await becomes(lambda: world.channel.health().detail == "")
    assert (await world.press("U0DANA", APPROVE))["ok"]
    assert world.session.view.state == "approved"


async def test_a_window_that_did_not_open_was_not_read(long_world: World) -> None:
    world = long_world
    await world.control.do("fault", method="views.open", kind="error", error="internal_error")
    await world.press("U0DANA", READ)
    await world.told("U0DANA")
    await world.press("U0DANA", APPROVE)
    await becomes(lambda: len(world.messages(shown_to="U0DANA")) == 2)
    assert world.session.taken == []


async def test_what_does_not_fit_can_be_denied_unread(long_world: World) -> None:
    view = await deny(long_world, "U0DANA")
    await long_world.control.submit("U0DANA", view["id"], ENTERED)
    assert long_world.session.view.state == "denied"


async def test_the_whole_text_is_in_the_thread_under_its_fingerprint(long_world: World) -> None:
    world = long_world
    await becomes(lambda: bool(world.messages(thread_ts=world.ts, upload=True)))
    (file,) = world.slack.workspace.snapshot()["files"]
    assert file["name"] == f"{world.session.view.fingerprint}.txt"
    assert file["content"].count("print('x')  # <&>") == 1_500
