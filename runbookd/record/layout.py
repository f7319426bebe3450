"""The names in a session's folder (design, section 6)."""

RECORD = "record.jsonl"
CHECKPOINT = "checkpoint"
VKEY = "record.vkey"
RESERVE = "reserve"
RUNBOOK = "runbook.ipynb"
TORN = "torn-{seq}"
