"""Who is on the other end of a Unix socket: the kernel's word, never the client's."""

import contextlib
import grp
import os
import platform
import pwd
import socket
import struct

_MACOS_LOCAL_PEERCRED = 1
_MACOS_XUCRED_SIZE = 76


def peer_uid(connection: socket.socket) -> int:
    """The user id of the peer: SO_PEERCRED on Linux, LOCAL_PEERCRED on macOS and the BSDs.

    Raises:
        OSError: the system does not tell. Then nobody may be believed.
    """
    if platform.system() == "Linux":
        size = struct.calcsize("3i")
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        _, uid, _ = struct.unpack("3i", found)
        return int(uid)
    # struct xucred: version, uid, number of groups, groups.
    found = connection.getsockopt(0, _MACOS_LOCAL_PEERCRED, _MACOS_XUCRED_SIZE)
    version, uid = struct.unpack_from("II", found)
    if version != 0:
        raise OSError("LOCAL_PEERCRED answered in an unknown version")
    return int(uid)


def os_groups(uid: int) -> frozenset[str]:
    """The names of all groups of a user, the primary one included; none for an unknown user."""
    try:
        account = pwd.getpwuid(uid)
        gids = os.getgrouplist(account.pw_name, account.pw_gid)
    except (KeyError, OSError):
        return frozenset()
    found = set()
    for gid in gids:
        with contextlib.suppress(KeyError):
            found.add(grp.getgrgid(gid).gr_name)
    return frozenset(found)


def os_user(uid: int) -> str:
    """The login name of a user id; ``uid-1234`` when the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
