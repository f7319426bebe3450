"""Tests of the sandbox's parts; the attacks on the whole are in tests/attacks."""
