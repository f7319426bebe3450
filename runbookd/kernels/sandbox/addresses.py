"""Socket addresses as a process hands them to connect(2): bytes in, meaning out."""

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from runbookd.kernels.sandbox.walls import plain_address

LONGEST = 128
"""``sizeof(struct sockaddr_storage)``; connect(2) takes no longer address."""


@dataclass(frozen=True)
class Tcp:
    """An endpoint, and the form in which Python's sockets take it."""

    family: socket.AddressFamily
    native: tuple[str, int] | tuple[str, int, int, int]

    @property
    def endpoint(self) -> tuple[str, int]:
        """Address and port as :class:`~runbookd.kernels.sandbox.walls.Walls` spells them."""
        return plain_address(self.native[0]), self.native[1]


@dataclass(frozen=True)
class Named:
    """A Unix socket that has a name in the file system, perhaps relative."""

    path: bytes


def parse(raw: bytes) -> Tcp | Named | None:
    """What ``raw``, a ``struct sockaddr``, means; None for anything we would not connect to.

    That includes AF_UNSPEC (which disconnects) and abstract Unix sockets.
    """
    if len(raw) < 2:
        return None
    [family] = struct.unpack_from("=H", raw)
    if family == socket.AF_INET and len(raw) >= 16:
        port, packed = struct.unpack_from("!H4s", raw, 2)
        return Tcp(socket.AF_INET, (str(IPv4Address(packed)), port))
    if family == socket.AF_INET6 and len(raw) >= 28:
        port, flow, packed = struct.unpack_from("!HI16s", raw, 2)
        [scope] = struct.unpack_from("=I", raw, 24)
        return Tcp(socket.AF_INET6, (str(IPv6Address(packed)), port, flow, scope))
    if family == socket.AF_UNIX:
        path = raw[2:].split(b"\0", 1)[0]
        return Named(path) if path else None
    return None
