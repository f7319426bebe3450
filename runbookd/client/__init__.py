"""Talks to the daemon, and starts it when there is none."""
