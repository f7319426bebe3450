"""Approval requests and the channels that bring people's decisions."""
