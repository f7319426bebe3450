"""A stand-in, the client library that has to work with it, and the hands of its members."""

import pytest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.socket_mode.websockets import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

from runbookd.drill.slack.remote import SlackControl
from runbookd.drill.slack.server import serving


def plain(text):
    return {"type": "plain_text", "text": text}


def mrkdwn(text):
    return {"type": "mrkdwn", "text": text}


def button(label="Approve", action_id="approve", **more):
    return {"type": "button", "text": plain(label), "action_id": action_id, **more}


def actions(*elements, **more):
    return {"type": "actions", "elements": list(elements or [button()]), **more}


def modal(*blocks, **more):
    reason = {
        "type": "input",
        "block_id": "reason",
        "label": plain("Why?"),
        "element": {"type": "plain_text_input", "action_id": "text"},
    }
    return {
        "type": "modal",
        "title": plain("Deny"),
        "submit": plain("Deny"),
        "blocks": list(blocks or [reason]),
        **more,
    }


@pytest.fixture
async def slack():
    async with serving() as running:
        yield running


@pytest.fixture
async def control(slack):
    async with SlackControl(slack.base) as hands:
        yield hands


@pytest.fixture
def web(slack):
    """The client library with the bot token, without its own retries."""
    return AsyncWebClient(token=slack.tokens.bot, base_url=slack.api_url, retry_handlers=[])


class App:
    """An app on Socket Mode that acknowledges what it gets, with ``reply`` as payload."""

    def __init__(self, slack, web):
        self.client = SocketModeClient(app_token=slack.tokens.app, web_client=web)
        self.client.socket_mode_request_listeners.append(self._listen)
        self.requests = []
        self.acknowledges = True
        self.reply = None

    async def _listen(self, client, request):
        self.requests.append(request)
        if self.acknowledges:
            answer = SocketModeResponse(envelope_id=request.envelope_id, payload=self.reply)
            await client.send_socket_mode_response(answer)


@pytest.fixture
async def new_app(slack, web):
    apps = []

    async def make():
        app = App(slack, web)
        apps.append(app)
        await app.client.connect()
        return app

    yield make
    for app in apps:
        await app.client.close()


@pytest.fixture
async def app(new_app):
    return await new_app()


@pytest.fixture
def post(web):
    """Post a message with one block of buttons; its time stamp."""

    async def post_message(*elements, **more):
        answer = await web.chat_postMessage(
            channel="C0INCIDENT", text="Approval wanted", blocks=[actions(*elements)], **more
        )
        return answer["ts"]

    return post_message
