"""The stand-in for Slack, and a channel that is connected to it."""

from collections.abc import AsyncIterator

import pytest

from runbookd.drill.slack.remote import SlackControl
from runbookd.drill.slack.server import Slack, serving

from .. import samples
from .world import Session, World, running, slack_channel


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    """A stand-in that has nothing to complain about at the end."""
    async with serving() as slack:
        slack.limiter.on = False
        yield slack
        assert slack.workspace.violations == []


@pytest.fixture
async def world(slack: Slack) -> AsyncIterator[World]:
    """A connected channel that shows one request."""
    session = Session(samples.view())
    channel = slack_channel(slack, session)
    async with SlackControl(slack.base) as control, running(channel) as task:
        world = World(slack, control, session, channel, task)
        await world.connected()
        await world.post()
        yield world
