"""A strict stand-in for Slack on loopback: Web API, Socket Mode, a page, and a control API.

It refuses what Slack refuses, under Slack's names, so that a client which works here has met the
limits it will meet there. ``slack_sdk`` works with it unmodified, given only the base address.
"""
