"""The terminal screens: one virtual view of the notebook, driven by the session's events."""
