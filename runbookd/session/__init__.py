"""One walk of one runbook: events to state, commands to events."""
