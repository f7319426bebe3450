"""Kernels listen on ports that no outgoing connection is ever given."""

import random
import socket

import pytest

from runbookd.errors import KernelUnavailable
from runbookd.kernels import ports


@pytest.mark.parametrize("outgoing", [(32768, 60999), (49152, 65535), (10240, 60000)])
def test_ports_lie_outside_the_range_of_outgoing_connections(outgoing: tuple[int, int]) -> None:
    candidates = ports.ports_outside(*outgoing)
    assert len(candidates) >= 1000
    assert min(candidates) >= 1024
    assert max(candidates) <= 65535
    assert not set(candidates) & set(range(outgoing[0], outgoing[1] + 1))


def test_where_the_range_takes_all_any_port_must_do() -> None:
    assert len(ports.ports_outside(1024, 65535)) > 1000


def test_ports_are_free_and_different() -> None:
    first = ports.free_ports(5, random.Random(1))
    assert len(set(first)) == 5
    with socket.create_server(("127.0.0.1", first[0])):
        assert first[0] not in ports.free_ports(5, random.Random(1))


def test_without_free_ports_no_kernel_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "ports_outside", lambda low, high: range(port, port + 1))
        with pytest.raises(KernelUnavailable):
            ports.free_ports(1, random.Random(1))
