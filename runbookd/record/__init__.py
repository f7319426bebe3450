"""The append-only, tamper-evident record of a session: write it, read it, verify it."""
