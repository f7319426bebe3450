"""Giving up every privilege of the calling thread, so that what it starts cannot have any."""

import struct

from runbookd.kernels.sandbox.syscalls import buffer, prctl, syscall

_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES = 64


def drop() -> None:
    """Set no_new_privs and drop all capabilities, also from the bounding set where we may.

    An ordinary user's bounding set stays, and gives nothing: no_new_privs keeps programs with
    file capabilities or set-user-id bits from granting any.

    Raises:
        OSError: the kernel refused.
    """
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(_CAPABILITIES):
        try:
            prctl(_PR_CAPBSET_READ, capability)
        except OSError:
            break  # beyond the last one that this kernel knows
        try:
            prctl(_PR_CAPBSET_DROP, capability)
        except PermissionError:
            break  # without CAP_SETPCAP
    header = buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    syscall("capset", header, buffer(bytes(24)))
