"""Words for a cell that ran into the walls or limits of its lane."""

import re

from runbookd.events import Lane

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


_INPUT = (
    "A cell cannot ask for input, since nobody is there to answer it; take the value from a "
    "parameter of the runbook, or from a variable that an earlier cell sets"
)

_LIMITS = (
    (
        re.compile(r"^MemoryError|\[Errno 12\]|Cannot allocate memory|\bbad_alloc\b"),
        "This cell wanted more memory than its lane gives to a process: `memory` of lanes.{lane} "
        "in the policy is the limit",
    ),
    (
        re.compile(r"ended by SIGKILL"),
        "Something outside killed the kernel, most likely because memory had run out: let the cell "
        "use less, or see `memory` of lanes.{lane} in the policy and the machine's own memory",
    ),
    (
        re.compile(r"can't start new thread|^BlockingIOError: \[Errno 11\]|\bfork: retry"),
        "This cell wanted more processes or threads than its lane allows: `processes` of "
        "lanes.{lane} in the policy is the limit",
    ),
    (
        re.compile(r"\[Errno 27\]|File too large|ended by SIGXFSZ"),
        "This cell wrote a file longer than its lane allows: `output` of lanes.{lane} in the "
        "policy is the limit",
    ),
    (
        re.compile(r"\[Errno 24\]|Too many open files"),
        "This cell has more files and connections open than a lane allows: let it close those that "
        "it has done with",
    ),
)


def explain(error_text: str, lane: Lane = "read-only") -> str:
    """One sentence about the lane, if an error or output looks like its walls; else nothing.

    Args:
        error_text: the error, traceback or refused answer of a cell.
        lane: the lane it ran in. The walls of the gated one are the policy's business, and what
            the approval showed; its limits are explained.
    """
    if error_text.startswith("StdinNotImplementedError"):
        return _INPUT
    for sign, words in _LIMITS:
        if sign.search(error_text):
            return words.format(lane=lane)
    if lane != "read-only":
        return ""
    if _REFUSED_REQUEST.search(error_text):
        return _REQUEST
    return _FILES if _WALL.search(error_text) else ""
