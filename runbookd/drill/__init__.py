"""A rehearsal against a broken service and a Slack stand-in, both local."""
