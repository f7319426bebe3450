"""Tests of the terminal screens, against a daemon that is played by a script."""
