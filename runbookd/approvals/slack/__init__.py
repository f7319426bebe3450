"""Approvals in Slack: messages, modals, and the Socket Mode connection that brings the clicks."""
