"""runbookd: an executable incident runbook engine.

The package itself imports nothing, so that every command pays only for what it uses.
"""

__version__ = "0.1.0"
