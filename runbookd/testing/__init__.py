"""Fakes and helpers for tests of runbooks and of runbookd itself."""
