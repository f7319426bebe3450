import asyncio
import json

import pytest
from aiohttp import ClientError
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from runbookd.drill.slack import limits


async def address(slack):
    web = AsyncWebClient(base_url=slack.api_url)
    return (await web.apps_connections_open(app_token=slack.tokens.app))["url"]


async def received(socket):
    async with asyncio.timeout(5):
        return json.loads(await socket.recv())


async def test_a_socket_is_greeted_with_the_number_of_sockets(slack):
    async with connect(await address(slack)) as one, connect(await address(slack)) as two:
        hello = await received(one)
        assert (hello["type"], hello["num_connections"]) == ("hello", 1)
        assert hello["connection_info"]["app_id"] == "A0RUNBOOKD"
        assert hello["debug_info"]["approximate_connection_time"]
        assert (await received(two))["num_connections"] == 2


async def test_an_address_works_once(slack):
    url = await address(slack)
    async with connect(url) as socket:
        await received(socket)
        with pytest.raises(InvalidStatus):
            await connect(url)


async def test_an_address_is_good_for_half_a_minute_only(slack, control):
    url = await address(slack)
    await control.do("sockets", do="expire_tickets")
    with pytest.raises(InvalidStatus):
        await connect(url)
    slack.workspace.now = lambda: 0.0
    url = await address(slack)
    slack.workspace.now = lambda: limits.TICKET_S
    with pytest.raises(InvalidStatus):
        await connect(url)


async def test_a_made_up_address_is_refused(slack):
    url = (await address(slack)).partition("?")[0]
    for query in ("", "?ticket=x&app_id=A0RUNBOOKD"):
        with pytest.raises(InvalidStatus):
            await connect(url + query)
    with pytest.raises(InvalidStatus):
        await connect((await address(slack)).replace("A0RUNBOOKD", "A0OTHER"))


async def test_tickets_can_be_refused_for_a_while(slack, control):
    await control.do("sockets", do="refuse_tickets", times=1)
    with pytest.raises(InvalidStatus):
        await connect(await address(slack))
    async with connect(await address(slack)) as socket:
        assert (await received(socket))["type"] == "hello"


async def test_the_eleventh_socket_is_turned_away(slack):
    sockets = [await connect(await address(slack)) for _ in range(limits.SOCKETS)]
    try:
        async with connect(await address(slack)) as one_more:
            said = await received(one_more)
            assert (said["type"], said["reason"]) == ("disconnect", "too_many_websockets")
            with pytest.raises(ConnectionClosed):
                await received(one_more)
    finally:
        for socket in sockets:
            await socket.close()


async def test_each_envelope_goes_to_one_socket_in_turn(new_app, control, post):
    apps = [await new_app(), await new_app()]
    ts = await post()
    for _ in range(4):
        assert (await control.press("U0DANA", ts, "approve"))["ok"]
    assert [len(app.requests) for app in apps] == [2, 2]


async def test_a_disconnect_warning_makes_the_client_reconnect(slack, app, control, post):
    await control.do("sockets", do="disconnect", reason="warning")
    calls = "apps.connections.open"
    await control.until(
        lambda state: (
            [call["method"] for call in state["calls"]].count(calls) == 2 and state["sockets"] == 1
        )
    )
    assert (await control.press("U0DANA", await post(), "approve"))["ok"]


async def test_sockets_can_be_cut_without_a_word(slack, control):
    async with connect(await address(slack)) as socket:
        await received(socket)
        assert (await control.do("sockets", do="drop"))["dropped"] == 1
        with pytest.raises(ConnectionClosed):
            await received(socket)
    await control.until(lambda state: state["sockets"] == 0)


async def test_a_silent_socket_answers_no_ping_and_delivers_nothing(
    slack, control, post, monkeypatch
):
    monkeypatch.setattr(limits, "ACK_S", 0.2)
    async with connect(await address(slack), close_timeout=0.1) as socket:
        await received(socket)
        async with asyncio.timeout(5):
            await (await socket.ping())
        await control.do("sockets", do="silence")
        answer = await control.press("U0DANA", await post(), "approve")
        assert answer["error"] == "unacknowledged"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await (await socket.ping())
        await control.do("sockets", do="speak")
        async with asyncio.timeout(5):
            await (await socket.ping())


async def test_slack_can_be_down_and_come_back(slack, web, app, control):
    await control.do("listening", on=False)
    await control.until(lambda state: state["sockets"] == 0)
    with pytest.raises(ClientError):
        await web.auth_test()
    assert (await control.state())["listening"] is False
    await control.do("listening", on=True)
    assert (await web.auth_test())["ok"]


async def test_an_envelope_can_be_replayed_under_its_id(app, control, post):
    answer = await control.press("U0DANA", await post(), "approve")
    again = await control.do("replay", envelope_id=answer["envelope_id"])
    assert again["ok"]
    assert [request.envelope_id for request in app.requests] == [answer["envelope_id"]] * 2
    assert app.requests[0].payload == app.requests[1].payload


async def test_anything_can_be_delivered_as_if_it_came_from_slack(app, control):
    forged = {"type": "block_actions", "user": {"id": "U0DANA"}, "team": {"id": "T0OTHER"}}
    assert (await control.do("deliver", payload=forged))["ok"]
    assert app.requests[0].payload == forged


async def test_an_envelope_can_be_held_back_and_delivered_late(app, control, post):
    await control.do("hold", times=1)
    ts = await post()
    held = await control.press("U0DANA", ts, "approve")
    assert held["error"] == "held"
    assert app.requests == []
    await control.press("U0LEE", ts, "approve")
    await control.do("release")
    assert [r.payload["user"]["id"] for r in app.requests] == ["U0LEE", "U0DANA"]


async def test_wrong_acknowledgements_are_remembered(app, control, post):
    app.reply = {"text": "not accepted here"}
    answer = await control.press("U0DANA", await post(), "approve")
    await app.client.send_socket_mode_response({"envelope_id": "made-up"})
    await app.client.send_socket_mode_response({"envelope_id": answer["envelope_id"]})
    await app.client.send_message("hello")
    state = await control.until(lambda state: state if len(state["violations"]) == 4 else None)
    assert state["violations"] == [
        "an acknowledgement carried a payload that is not accepted",
        "the app acknowledged an envelope that was never sent",
        "the app acknowledged an envelope twice",
        "the app sent something that is no acknowledgement",
    ]


async def test_the_app_token_is_needed_for_an_address(slack):
    web = AsyncWebClient(base_url=slack.api_url)
    with pytest.raises(SlackApiError, match="invalid_auth"):
        await web.apps_connections_open(app_token="xapp-1-other")
