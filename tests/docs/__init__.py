"""The documentation is tried out, not trusted."""
