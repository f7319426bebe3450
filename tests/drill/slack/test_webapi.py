import json

import httpx
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from .conftest import actions, button, modal, mrkdwn


async def refused(call):
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response["error"]


async def test_auth_test_tells_who_the_bot_is(slack, web):
    answer = (await web.auth_test()).data
    assert (answer["team_id"], answer["user_id"]) == ("T0DRILL", "U0BOT")
    app = await AsyncWebClient(token=slack.tokens.app, base_url=slack.api_url).auth_test()
    assert app["app_id"] == "A0RUNBOOKD"


async def test_tokens_are_checked_under_slacks_names(slack):
    def client(token):
        return AsyncWebClient(token=token, base_url=slack.api_url)

    assert await refused(client("").auth_test()) == "not_authed"
    assert await refused(client("xoxb-other").auth_test()) == "invalid_auth"
    wrong_kind = client(slack.tokens.app).users_info(user="U0YOU")
    assert await refused(wrong_kind) == "not_allowed_token_type"
    wrong_kind = client("").apps_connections_open(app_token=slack.tokens.bot)
    assert await refused(wrong_kind) == "not_allowed_token_type"
    unknown = client(slack.tokens.bot).api_call("chat.shout")
    assert await refused(unknown) == "unknown_method"


async def test_a_missing_scope_is_named(web, control):
    await control.do("bot", scopes=["chat:write"])
    with pytest.raises(SlackApiError) as caught:
        await web.usergroups_users_list(usergroup="S0COMMAND")
    assert caught.value.response["error"] == "missing_scope"
    assert caught.value.response["needed"] == "usergroups:read"


async def test_a_message_is_stored_as_slack_stores_it(web):
    posted = await web.chat_postMessage(
        channel="C0INCIDENT", text="hello", blocks=[actions()], metadata={"event_type": "x"}
    )
    message = (await web.conversations_history(channel="C0INCIDENT"))["messages"][0]
    assert message == posted["message"]
    assert (message["user"], message["app_id"], message["ts"]) == (
        "U0BOT",
        "A0RUNBOOKD",
        posted["ts"],
    )
    assert message["blocks"][0]["block_id"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
        ({"channel": "#incidents", "text": "x"}, "channel_not_found"),
        ({"channel": "C0GENERAL", "text": "x"}, "not_in_channel"),
        ({"channel": "C0OLD", "text": "x"}, "is_archived"),
        ({"channel": "C0INCIDENT", "text": ""}, "no_text"),
        ({"channel": "C0INCIDENT", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "C0INCIDENT", "text": "x", "blocks": "{"}, "invalid_blocks_format"),
        ({"channel": "C0INCIDENT", "text": "x", "blocks": {"a": 1}}, "invalid_blocks_format"),
        ({"channel": "C0INCIDENT", "text": "x", "blocks": [{"type": "?"}]}, "invalid_blocks"),
        (
            {
                "channel": "C0INCIDENT",
                "text": "x",
                "blocks": [{"type": "section", "text": mrkdwn("x" * 2641)}] * 5,
            },
            "msg_blocks_too_long",
        ),
        ({"channel": "C0INCIDENT", "text": "x", "thread_ts": "1.0"}, "thread_not_found"),
    ],
)
async def test_a_message_that_slack_refuses_is_refused_and_not_stored(
    web, control, arguments, error
):
    assert await refused(web.api_call("chat.postMessage", json=arguments)) == error
    assert (await control.state())["messages"] == []


async def test_text_and_blocks_pass_up_to_their_limits(web):
    await web.chat_postMessage(channel="C0INCIDENT", text="x" * 40_000)
    blocks = [{"type": "section", "text": mrkdwn("x" * 2640)}] * 5
    await web.chat_postMessage(channel="C0INCIDENT", text="x", blocks=blocks)


async def test_invalid_blocks_say_where(web):
    with pytest.raises(SlackApiError) as caught:
        await web.chat_postMessage(channel="C0INCIDENT", text="x", blocks=[{"type": "section"}])
    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] must define either `text` or `fields` [json-pointer:/blocks/0]"
    ]


async def test_blocks_without_text_pass_with_a_warning_that_is_remembered(slack, control):
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            slack.api_url + "chat.postMessage",
            json={"channel": "C0INCIDENT", "blocks": [actions()]},
            headers={"Authorization": f"Bearer {slack.tokens.bot}"},
        )
    assert answer.json()["ok"] is True
    assert answer.json()["warning"] == "missing_text_in_message"
    assert (await control.state())["violations"] == [
        "a message with blocks came without a text for notifications"
    ]


async def test_json_without_a_charset_gets_slacks_warning(slack):
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            slack.api_url + "chat.postMessage",
            json={"channel": "C0INCIDENT", "text": "x"},
            headers={"Authorization": f"Bearer {slack.tokens.bot}"},
        )
    assert answer.json()["warning"] == "missing_charset"


async def test_an_update_with_text_alone_takes_the_buttons_away(web, post):
    ts = await post()
    await web.chat_update(channel="C0INCIDENT", ts=ts, text="Approved by Dana")
    message = (await web.conversations_history(channel="C0INCIDENT"))["messages"][0]
    assert message["text"] == "Approved by Dana"
    assert "blocks" not in message
    assert message["edited"]["user"] == "U0BOT"


async def test_an_update_needs_a_message_of_the_bot(web, control, post):
    await post()
    update = web.chat_update(channel="C0INCIDENT", ts="1.000000", text="x")
    assert await refused(update) == "message_not_found"
    said = await control.do("say", user="U0MAX", text="hello")
    update = web.chat_update(channel="C0INCIDENT", ts=said["ts"], text="x")
    assert await refused(update) == "cant_update_message"


async def test_replies_stand_in_the_thread_and_not_in_the_channel(web, post):
    ts = await post()
    first = await web.chat_postMessage(channel="C0INCIDENT", text="one", thread_ts=ts)
    await web.chat_postMessage(channel="C0INCIDENT", text="two", thread_ts=first["ts"])
    thread = (await web.conversations_replies(channel="C0INCIDENT", ts=ts))["messages"]
    assert [message["text"] for message in thread] == ["Approval wanted", "one", "two"]
    assert thread[0]["reply_count"] == 2
    history = (await web.conversations_history(channel="C0INCIDENT"))["messages"]
    assert [message["text"] for message in history] == ["Approval wanted"]
    nowhere = web.conversations_replies(channel="C0INCIDENT", ts="1.000000")
    assert await refused(nowhere) == "thread_not_found"


async def test_an_ephemeral_message_is_for_one_member_and_cannot_be_updated(web, control):
    answer = await web.chat_postEphemeral(channel="C0INCIDENT", user="U0MAX", text="not you")
    assert (await control.state())["messages"][0]["shown_to"] == "U0MAX"
    assert (await web.conversations_history(channel="C0INCIDENT"))["messages"] == []
    update = web.chat_update(channel="C0INCIDENT", ts=answer["message_ts"], text="x")
    assert await refused(update) == "message_not_found"
    stranger = web.chat_postEphemeral(channel="C0INCIDENT", user="U0NOBODY", text="x")
    assert await refused(stranger) == "user_not_in_channel"


async def test_a_permalink_leads_to_the_page(web, post):
    link = await web.chat_getPermalink(channel="C0INCIDENT", message_ts=await post())
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(link["permalink"])).status_code == 200
    nowhere = web.chat_getPermalink(channel="C0INCIDENT", message_ts="1.000000")
    assert await refused(nowhere) == "message_not_found"


async def test_members_are_described_with_what_an_approver_must_not_be(web):
    async def about(user):
        return (await web.users_info(user=user))["user"]

    assert (await about("U0DANA"))["is_admin"] is True
    assert (await about("U0GUEST"))["is_restricted"] is True
    assert (await about("U0BOT"))["is_bot"] is True
    assert (await about("U0GONE"))["deleted"] is True
    stranger = await about("U0EXT")
    assert (stranger["is_stranger"], stranger["team_id"]) == (True, "T0EXT")
    assert await refused(web.users_info(user="U0NOBODY")) == "user_not_found"


async def test_user_groups_have_the_members_they_have_now(web, control):
    async def members():
        return (await web.usergroups_users_list(usergroup="S0COMMAND"))["users"]

    assert await members() == ["U0DANA", "U0LEE"]
    await control.do("group", group="S0COMMAND", users=[])
    assert await members() == []
    assert (await web.usergroups_list())["usergroups"][0]["handle"] == "commanders"
    unknown = web.usergroups_users_list(usergroup="S0OTHER")
    assert await refused(unknown) == "no_such_subteam"


async def test_channels_and_the_bot_can_be_looked_up(web):
    channel = (await web.conversations_info(channel="C0INCIDENT"))["channel"]
    assert (channel["name"], channel["is_member"]) == ("incidents", True)
    assert (await web.bots_info(bot="B0RUNBOOKD"))["bot"]["user_id"] == "U0BOT"


async def test_a_file_is_uploaded_into_a_thread(web, control, post):
    ts = await post()
    uploaded = await web.files_upload_v2(
        filename="3f9a10bc.py",
        content="print(1)\n",
        title="Source",
        channel="C0INCIDENT",
        thread_ts=ts,
        initial_comment="What will run",
    )
    file_id = uploaded["file"]["id"]
    state = await control.state()
    assert state["files"][0]["content"] == "print(1)\n"
    assert state["messages"][-1]["files"][0]["title"] == "Source"
    assert state["messages"][-1]["thread_ts"] == ts
    info = (await web.api_call("files.info", params={"file": file_id}))["file"]
    assert info["shares"]["public"]["C0INCIDENT"][0]["ts"] == state["messages"][-1]["ts"]


async def test_an_upload_must_be_whole_and_known(slack, web, control):
    asked = await web.files_getUploadURLExternal(filename="a", length=5)
    unfinished = web.files_completeUploadExternal(files=[{"id": asked["file_id"], "title": "a"}])
    assert await refused(unfinished) == "file_not_found"
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.post(asked["upload_url"], content=b"1234")).status_code == 400
        assert (await http.post(asked["upload_url"], content=b"12345")).status_code == 200
        assert (await http.post(asked["upload_url"], content=b"12345")).status_code == 400
        assert (await http.post(slack.base + "/upload/v1/x", content=b"1")).status_code == 400


async def test_too_many_messages_get_429_and_a_time_to_wait(web, control):
    for number in range(5):
        await web.chat_postMessage(channel="C0INCIDENT", text=str(number))
    with pytest.raises(SlackApiError) as caught:
        await web.chat_postMessage(channel="C0INCIDENT", text="5")
    assert caught.value.response.status_code == 429
    assert int(caught.value.response.headers["Retry-After"]) >= 1
    await control.do("limits", on=False)
    await web.chat_postMessage(channel="C0INCIDENT", text="5")


async def test_a_modal_needs_a_trigger(web):
    assert await refused(web.views_open(trigger_id="1.2.3", view=modal())) == "invalid_trigger_id"
    with pytest.raises(SlackApiError) as caught:
        await web.views_open(trigger_id="1.2.3", view={"type": "modal"})
    assert caught.value.response["error"] == "invalid_arguments"
    assert "missing required field: title" in str(caught.value.response["response_metadata"])
    assert await refused(web.views_update(view_id="V1", view=modal())) == "not_found"


async def test_every_call_is_logged_without_its_token(slack, web, control):
    await web.users_info(user="U0YOU")
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(
            slack.api_url + "users.info", data={"token": slack.tokens.bot, "user": "U0MAX"}
        )
    state = await control.state()
    assert state["calls"] == [
        {"method": "users.info", "arguments": {"user": "U0YOU"}, "error": None},
        {"method": "users.info", "arguments": {"user": "U0MAX"}, "error": None},
    ]
    text = json.dumps(state)
    assert slack.tokens.bot not in text
    assert slack.tokens.app not in text


async def test_attachments_are_refused_since_nobody_should_use_them(web):
    call = web.chat_postMessage(
        channel="C0INCIDENT", text="x", attachments=[{"fallback": "x", "text": "y"}]
    )
    assert await refused(call) == "invalid_attachments"


async def test_the_buttons_of_the_message_are_as_they_were_posted(web, post):
    await post(button("Approve", "approve", value="v"), button("Deny", "deny"))
    message = (await web.conversations_history(channel="C0INCIDENT"))["messages"][0]
    assert [element["action_id"] for element in message["blocks"][0]["elements"]] == [
        "approve",
        "deny",
    ]
