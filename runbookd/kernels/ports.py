"""Loopback ports for kernels, from outside the range that outgoing connections are given.

The range matters. While a kernel starts, its client already dials its ports; on a port of that
range such a call can be given the same number as its source, connect to itself, and so take the
port away from the kernel. Any other outgoing connection could, too.
"""

import random
import socket
from pathlib import Path

from runbookd.errors import KernelUnavailable

_HOST = "127.0.0.1"
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_RANGE = (32768, 60999)
_LOWEST, _HIGHEST = 10240, 65535
_ENOUGH = 1000
_TRIES = 200


def ports_outside(low: int, high: int) -> range:
    """The ports to choose from, given the range ``low`` to ``high`` of outgoing connections."""
    if low - _LOWEST >= _ENOUGH:
        return range(_LOWEST, low)
    if _HIGHEST - high >= _ENOUGH:
        return range(high + 1, _HIGHEST + 1)
    return range(_LOWEST, _HIGHEST + 1)


def free_ports(count: int, rng: random.Random) -> tuple[int, ...]:
    """Ports that nobody listens on at this moment, all different.

    Raises:
        KernelUnavailable: none could be found.
    """
    candidates = ports_outside(*_outgoing())
    found: list[int] = []
    for port in rng.sample(candidates, k=min(_TRIES, len(candidates))):
        if len(found) == count:
            break
        if _is_free(port):
            found.append(port)
    if len(found) < count:
        raise KernelUnavailable("no loopback ports are free for a kernel", "end other programs")
    return tuple(found)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _outgoing() -> tuple[int, int]:
    try:
        low, high = map(int, _RANGE_FILE.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return _DEFAULT_RANGE
    return low, high
