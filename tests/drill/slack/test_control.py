import re
from pathlib import Path

import aiohttp
import httpx
import pytest
from slack_sdk.errors import SlackApiError

from runbookd.drill.slack import routes
from runbookd.drill.slack.remote import ControlRefused

PAGE = Path(routes.__file__).parent / "page"


@pytest.fixture
async def http(slack):
    async with httpx.AsyncClient(base_url=slack.base, trust_env=False) as client:
        yield client


async def test_a_call_can_be_made_to_fail_with_an_error(web, control):
    await control.do("fault", method="users.info", kind="error", error="fatal_error", times=2)
    for _ in range(2):
        with pytest.raises(SlackApiError, match="fatal_error"):
            await web.users_info(user="U0YOU")
    assert (await web.users_info(user="U0YOU"))["ok"]


async def test_a_call_can_be_rate_limited(web, control):
    await control.do("fault", method="users.info", kind="ratelimited", retry_after=7)
    with pytest.raises(SlackApiError) as caught:
        await web.users_info(user="U0YOU")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "7"


async def test_a_call_can_get_an_answer_that_is_no_json(web, control):
    await control.do("fault", method="users.info", kind="http", status=502)
    with pytest.raises(SlackApiError):
        await web.users_info(user="U0YOU")


async def test_a_call_can_be_lost_before_or_after_it_took_effect(web, control):
    await control.do("fault", method="chat.postMessage", kind="lost")
    with pytest.raises(aiohttp.ClientError):
        await web.chat_postMessage(channel="C0INCIDENT", text="one")
    assert (await control.state())["messages"] == []
    await control.do("fault", method="chat.postMessage", kind="lost_reply")
    with pytest.raises(aiohttp.ClientError):
        await web.chat_postMessage(channel="C0INCIDENT", text="two")
    assert [message["text"] for message in (await control.state())["messages"]] == ["two"]


async def test_a_call_can_hang(web, control):
    await control.do("fault", method="users.info", kind="hang", seconds=30)
    web.timeout = 0.2
    with pytest.raises(TimeoutError):
        await web.users_info(user="U0YOU")


async def test_faults_can_be_taken_back(web, control):
    await control.do("fault", method="users.info", kind="error", times=9)
    await control.do("clear_faults")
    assert (await web.users_info(user="U0YOU"))["ok"]


async def test_members_can_change_and_come(web, control):
    await control.do("member", user="U0DANA", set={"is_restricted": True})
    assert (await web.users_info(user="U0DANA"))["user"]["is_restricted"] is True
    await control.do("member", user="U0YOU2", set={"real_name": "You again"})
    assert (await web.users_info(user="U0YOU2"))["user"]["real_name"] == "You again"


async def test_the_bot_can_be_thrown_out(web, control):
    await control.do("bot", member=False)
    with pytest.raises(SlackApiError, match="not_in_channel"):
        await web.chat_postMessage(channel="C0INCIDENT", text="x")


@pytest.mark.parametrize(
    ("verb", "body", "says"),
    [
        ("dance", {}, "no_such_verb"),
        ("press", {"user": "U0DANA"}, "invalid button"),
        ("press", {"user": "U0DANA", "button": "x"}, "say message_ts or view_id"),
        ("press", {"user": "U0DANA", "button": "x", "message_ts": "1.0"}, "message_not_found"),
        ("member", {"user": "U0DANA", "set": {"wings": True}}, "no wings"),
        ("member", {"user": "U0DANA", "set": {"deleted": "yes"}}, "cannot be"),
        ("fault", {"method": "x", "kind": "melt"}, "invalid kind"),
        ("limits", {"on": True, "speed": 3}, "invalid speed"),
        ("replay", {"envelope_id": "x"}, "no_such_envelope"),
        ("bot", {"channel": "C0NOWHERE"}, "C0NOWHERE"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_word(control, verb, body, says):
    with pytest.raises(ControlRefused, match=re.escape(says)):
        await control.do(verb, **body)


async def test_the_state_can_be_waited_for(web, control):
    before = (await control.state())["version"]
    assert (await control.state(after=before, wait_s=0.1))["version"] == before
    await web.chat_postMessage(channel="C0INCIDENT", text="x")
    assert (await control.state(after=before, wait_s=20))["version"] > before


async def test_the_state_names_who_a_message_would_ping(web, control):
    await web.chat_postMessage(channel="C0INCIDENT", text="<!channel> see <@U0DANA>")
    assert (await control.state())["messages"][0]["pings"] == ["@U0DANA", "@channel"]


async def test_no_foreign_page_can_press_a_button(http):
    form = await http.post("/control/limits", data={"on": "true"})
    assert form.status_code == 415
    text = await http.post("/control/limits", content="{}", headers={"Content-Type": "text/plain"})
    assert text.status_code == 415
    rebound = await http.get("/control/state", headers={"Host": "evil.example"})
    assert rebound.status_code == 421
    assert (await http.options("/control/limits")).status_code == 405


async def test_the_page_loads_nothing_from_elsewhere_and_runs_only_its_own_script(http):
    page = await http.get("/")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page.text)
    assert not re.search(r"\son\w+=|<style|<script>", page.text)
    for asset, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
        answer = await http.get(f"/{asset}")
        assert answer.headers["Content-Type"].startswith(kind)
        assert "url(" not in answer.text
        assert "@import" not in answer.text


def test_the_page_makes_text_nodes_and_never_markup():
    script = (PAGE / "page.js").read_text(encoding="utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in script


@pytest.mark.parametrize("path", ["/page.html", "/control/", "/../pyproject.toml", "/api/"])
async def test_nothing_else_is_served(http, path):
    assert (await http.get(path)).status_code in (404, 405)
