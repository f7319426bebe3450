"""Attacks on the sandbox as it is really used, judged by what happened to the victim."""
