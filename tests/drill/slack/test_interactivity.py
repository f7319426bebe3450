import asyncio

import httpx
import pytest
from slack_sdk.errors import SlackApiError

from runbookd.drill.slack import limits
from runbookd.drill.slack.remote import ControlRefused

from .conftest import actions, button, modal, plain


async def test_a_press_reaches_the_app_as_a_full_block_actions_payload(slack, app, control, post):
    confirm = {"title": plain("t"), "text": plain("t"), "confirm": plain("y"), "deny": plain("n")}
    ts = await post(button("Approve", "approve", value="r-1:3f9a", confirm=confirm))
    answer = await control.press("U0DANA", ts, "Approve")
    assert answer["ok"]
    payload = app.requests[0].payload
    assert app.requests[0].type == "interactive"
    assert payload["type"] == "block_actions"
    assert payload["user"] == {
        "id": "U0DANA",
        "username": "dana",
        "name": "dana",
        "team_id": "T0DRILL",
    }
    assert payload["api_app_id"] == "A0RUNBOOKD"
    assert payload["team"] == {"id": "T0DRILL", "domain": "drill"}
    assert payload["enterprise"] is None
    assert payload["is_enterprise_install"] is False
    assert payload["container"] == {
        "type": "message",
        "message_ts": ts,
        "channel_id": "C0INCIDENT",
        "is_ephemeral": False,
    }
    assert payload["channel"] == {"id": "C0INCIDENT", "name": "incidents"}
    assert payload["message"]["ts"] == ts
    assert payload["message"]["blocks"][0]["elements"][0]["action_id"] == "approve"
    assert payload["response_url"].startswith(slack.base)
    action = payload["actions"][0]
    assert (action["action_id"], action["value"], action["type"]) == (
        "approve",
        "r-1:3f9a",
        "button",
    )
    assert action["block_id"] == payload["message"]["blocks"][0]["block_id"]
    assert action["text"]["text"] == "Approve"
    assert action["confirm"]["title"]["text"] == "t"
    assert action["action_ts"]


async def test_the_payload_holds_the_message_as_it_is_now(web, app, control, post):
    ts = await post()
    blocks = [actions(button("Deny", "deny"))]
    await web.chat_update(channel="C0INCIDENT", ts=ts, text="Changed", blocks=blocks)
    with pytest.raises(ControlRefused, match="no_such_button"):
        await control.press("U0DANA", ts, "approve")
    await control.press("U0DANA", ts, "deny")
    assert app.requests[0].payload["message"]["text"] == "Changed"
    await web.chat_update(channel="C0INCIDENT", ts=ts, text="Denied")
    with pytest.raises(ControlRefused, match="no_such_button"):
        await control.press("U0DANA", ts, "deny")
    assert len(app.requests) == 1


async def test_a_click_that_is_not_acknowledged_in_three_seconds_is_an_error_and_not_sent_again(
    app, control, post, monkeypatch
):
    monkeypatch.setattr(limits, "ACK_S", 0.2)
    app.acknowledges = False
    answer = await control.press("U0DANA", await post(), "approve")
    assert (answer["ok"], answer["error"]) == (False, "unacknowledged")
    assert len(app.requests) == 1
    await app.client.send_socket_mode_response({"envelope_id": answer["envelope_id"]})
    state = await control.until(
        lambda state: state if state["envelopes"][0]["state"] == "late" else None
    )
    assert state["violations"] == []


async def test_a_click_without_a_socket_is_lost(control, post):
    answer = await control.press("U0DANA", await post(), "approve")
    assert (answer["ok"], answer["error"]) == (False, "no_socket")


async def test_a_stranger_presses_under_a_team_of_their_own(app, control, post):
    await control.press("U0EXT", await post(), "approve")
    assert app.requests[0].payload["user"]["team_id"] == "T0EXT"


async def test_nobody_presses_what_they_cannot_see(web, app, control):
    posted = await web.chat_postEphemeral(
        channel="C0INCIDENT", user="U0MAX", text="x", blocks=[actions()]
    )
    with pytest.raises(ControlRefused, match="message_not_found"):
        await control.press("U0DANA", posted["message_ts"], "approve")
    await control.press("U0MAX", posted["message_ts"], "approve")
    payload = app.requests[0].payload
    assert payload["container"]["is_ephemeral"] is True
    assert "message" not in payload


async def test_a_press_in_a_thread_names_the_thread(web, app, control, post):
    parent = await post()
    reply = await post(thread_ts=parent)
    await control.press("U0DANA", reply, "approve")
    assert app.requests[0].payload["container"]["thread_ts"] == parent


async def test_an_unknown_member_cannot_press(app, control, post):
    with pytest.raises(ControlRefused, match="user_not_found"):
        await control.press("U0NOBODY", await post(), "approve")


@pytest.fixture
def opened(web, app, control, post):
    """Have Dana press a button and the app open a modal for her; its id."""

    async def open_modal(view=None):
        await control.press("U0DANA", await post(), "approve")
        trigger = app.requests[-1].payload["trigger_id"]
        answer = await web.views_open(trigger_id=trigger, view=view or modal())
        return answer["view"]["id"]

    return open_modal


async def test_a_trigger_opens_one_modal_within_three_seconds(slack, web, app, control, post):
    await control.press("U0DANA", await post(), "approve")
    trigger = app.requests[-1].payload["trigger_id"]
    await web.views_open(trigger_id=trigger, view=modal())
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await web.views_open(trigger_id=trigger, view=modal())
    await control.press("U0DANA", await post(), "approve")
    await control.do("expire_triggers")
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        await web.views_open(trigger_id=app.requests[-1].payload["trigger_id"], view=modal())


async def test_a_submission_carries_what_was_entered_and_closes_the_modal(app, control, opened):
    view_id = await opened(modal(private_metadata="r-1", callback_id="deny"))
    assert (await control.submit("U0DANA", view_id, {"reason": {"text": "too early"}}))["ok"]
    payload = app.requests[-1].payload
    assert payload["type"] == "view_submission"
    assert payload["user"]["id"] == "U0DANA"
    assert payload["view"]["private_metadata"] == "r-1"
    assert payload["view"]["callback_id"] == "deny"
    assert payload["view"]["state"]["values"]["reason"]["text"]["value"] == "too early"
    assert (await control.state())["views"][0]["open"] is False
    with pytest.raises(ControlRefused, match="view_not_found"):
        await control.submit("U0DANA", view_id)


async def test_a_form_that_is_incomplete_does_not_reach_the_app(app, control, opened):
    view_id = await opened()
    before = len(app.requests)
    answer = await control.submit("U0DANA", view_id)
    assert answer["errors"] == {"reason": "Please complete this required field."}
    assert len(app.requests) == before


async def test_only_the_person_who_has_the_modal_can_submit_it(control, opened):
    view_id = await opened()
    with pytest.raises(ControlRefused, match="view_not_found"):
        await control.submit("U0LEE", view_id, {"reason": {"text": "x"}})


@pytest.mark.parametrize(
    ("reply", "open_views", "errors"),
    [
        ({"response_action": "errors", "errors": {"reason": "Longer."}}, 1, {"reason": "Longer."}),
        ({"response_action": "clear"}, 0, {}),
        ({"response_action": "update", "view": modal(title=plain("Next"))}, 1, {}),
        ({"response_action": "push", "view": modal(title=plain("Next"))}, 2, {}),
    ],
)
async def test_an_acknowledgement_can_answer_a_submission(
    app, control, opened, reply, open_views, errors
):
    view_id = await opened()
    app.reply = reply
    await control.submit("U0DANA", view_id, {"reason": {"text": "x"}})
    state = await control.state()
    views = [view for view in state["views"] if view["open"]]
    assert len(views) == open_views
    assert state["views"][0]["errors"] == errors
    if "view" in reply:
        assert views[-1]["view"]["title"]["text"] == "Next"
    assert state["violations"] == []


@pytest.mark.parametrize(
    "reply",
    [
        {"response_action": "errors", "errors": {"other": "x"}},
        {"response_action": "errors", "errors": {}},
        {"response_action": "update", "view": {"type": "modal"}},
        {"response_action": "explode"},
        {"text": "thanks"},
    ],
)
async def test_an_invalid_answer_to_a_submission_is_shown_and_remembered(
    app, control, opened, reply
):
    view_id = await opened()
    app.reply = reply
    answer = await control.submit("U0DANA", view_id, {"reason": {"text": "x"}})
    assert answer["ok"] is False
    state = await control.state()
    assert state["views"][0]["open"] is True
    assert state["violations"] == ["a submission was answered with an invalid payload"]


async def test_a_submission_that_is_not_acknowledged_stays_open_with_an_error(
    app, control, opened, monkeypatch
):
    view_id = await opened()
    monkeypatch.setattr(limits, "ACK_S", 0.2)
    app.acknowledges = False
    answer = await control.submit("U0DANA", view_id, {"reason": {"text": "x"}})
    assert (answer["ok"], answer["error"]) == (False, "unacknowledged")
    view = (await control.state())["views"][0]
    assert view["open"] is True
    assert "trouble connecting" in view["errors"][""]


async def test_a_modal_is_updated_if_its_hash_still_fits(web, control, opened):
    view_id = await opened()
    before = (await control.state())["views"][0]["view"]["hash"]
    await web.views_update(view_id=view_id, hash=before, view=modal(title=plain("Second")))
    view = (await control.state())["views"][0]["view"]
    assert (view["id"], view["title"]["text"]) == (view_id, "Second")
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await web.views_update(view_id=view_id, hash=before, view=modal())


async def test_the_app_hears_of_a_closed_modal_only_if_it_asked(app, control, opened):
    view_id = await opened()
    before = len(app.requests)
    await control.do("close_view", user="U0DANA", view_id=view_id)
    assert len(app.requests) == before
    view_id = await opened(modal(notify_on_close=True))
    await control.do("close_view", user="U0DANA", view_id=view_id)
    assert app.requests[-1].payload["type"] == "view_closed"


async def test_a_button_in_a_modal_names_the_view_as_its_container(app, control, opened):
    view_id = await opened(modal(actions(button("More", "more"))))
    await control.do("press", user="U0DANA", view_id=view_id, button="more")
    payload = app.requests[-1].payload
    assert payload["container"] == {"type": "view", "view_id": view_id}
    assert payload["view"]["id"] == view_id
    assert "message" not in payload


async def test_a_response_url_answers_the_presser_or_replaces_the_message(app, control, post):
    ts = await post()
    await control.press("U0DANA", ts, "approve")
    url = app.requests[0].payload["response_url"]
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.post(url, json={"text": "too late"})).status_code == 200
        assert (await control.state())["messages"][-1]["shown_to"] == "U0DANA"
        replaced = {"replace_original": True, "text": "Approved"}
        assert (await http.post(url, json=replaced)).status_code == 200
        message = (await control.state())["messages"][0]
        assert message["text"] == "Approved"
        assert "blocks" not in message
        assert (await http.post(url, json={"blocks": [{"type": "?"}]})).status_code == 400
        for _ in range(2):
            assert (await http.post(url, json={"text": "again"})).status_code == 200
        assert (await http.post(url, json={"text": "a sixth time"})).status_code == 404


async def test_two_people_press_at_once_and_each_click_arrives(app, control, post):
    ts = await post(button("Approve", "approve"), button("Deny", "deny"))
    answers = await asyncio.gather(
        control.press("U0DANA", ts, "approve"), control.press("U0LEE", ts, "deny")
    )
    assert all(answer["ok"] for answer in answers)
    pressed = {
        (r.payload["user"]["id"], r.payload["actions"][0]["action_id"]) for r in app.requests
    }
    assert pressed == {("U0DANA", "approve"), ("U0LEE", "deny")}
