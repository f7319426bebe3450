"""Words for a cell that ran into the walls of the read-only lane."""

import re

_WALL = re.compile(
    r"""PermissionError | \[Errno\ (?:1|13|30)\] | \bEPERM\b | \bEACCES\b | \bEROFS\b
      | Permission\ denied | Operation\ not\ permitted | Read-only\ file\ system
      | runbookd:\ the\ read-only\ lane""",
    re.VERBOSE,
)
_REFUSED_REQUEST = re.compile(r"runbookd: the read-only lane|X-Runbookd-Refused")

_FILES = (
    "This cell runs in the read-only lane: it can write only in its scratch folder, read only what "
    "the policy opens, signal nobody and reach only its connectors; a change belongs in a gated "
    "cell"
)
_REQUEST = (
    "This cell runs in the read-only lane: its connectors let through only what reads; a request "
    "that changes something belongs in a gated cell"
)


def explain(error_text: str) -> str:
    """One sentence about the lane, if an error or output looks like its walls; else nothing.

    Args:
        error_text: the error, traceback or refused answer of a cell of the read-only lane.
    """
    if _REFUSED_REQUEST.search(error_text):
        return _REQUEST
    return _FILES if _WALL.search(error_text) else ""
