import socket
import struct

import pytest

from runbookd.kernels.sandbox.addresses import Named, Tcp, parse


def ipv4(address: str, port: int) -> bytes:
    return (
        struct.pack("=H", socket.AF_INET)
        + struct.pack("!H", port)
        + socket.inet_aton(address)
        + bytes(8)
    )


def ipv6(address: str, port: int, flow: int = 0, scope: int = 0) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, address)
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, flow)
    return head + packed + struct.pack("=I", scope)


def test_an_ipv4_address_is_an_endpoint() -> None:
    found = parse(ipv4("127.0.0.1", 8080))
    assert found == Tcp(socket.AF_INET, ("127.0.0.1", 8080))
    assert isinstance(found, Tcp)
    assert found.endpoint == ("127.0.0.1", 8080)


def test_an_ipv6_address_keeps_what_connecting_needs() -> None:
    found = parse(ipv6("fe80::1", 443, flow=7, scope=2))
    assert isinstance(found, Tcp)
    assert found.native == ("fe80::1", 443, 7, 2)
    assert found.endpoint == ("fe80::1", 443)


def test_an_ipv4_address_in_ipv6_clothes_counts_as_what_it_is() -> None:
    found = parse(ipv6("::ffff:10.0.0.9", 22))
    assert isinstance(found, Tcp)
    assert found.family == socket.AF_INET6
    assert found.endpoint == ("10.0.0.9", 22)


def test_more_bytes_than_needed_do_no_harm() -> None:
    assert parse(ipv4("127.0.0.1", 1) + bytes(100)) == Tcp(socket.AF_INET, ("127.0.0.1", 1))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\2",
        ipv4("127.0.0.1", 80)[:15],
        ipv6("::1", 80)[:27],
        struct.pack("=H", socket.AF_UNSPEC) + bytes(14),
        struct.pack("=H", 40) + bytes(14),
        struct.pack("=H", socket.AF_UNIX),
        struct.pack("=H", socket.AF_UNIX) + b"\0abstract",
    ],
)
def test_what_is_cut_short_or_unknown_is_no_address(raw: bytes) -> None:
    assert parse(raw) is None


def test_a_unix_socket_is_named_up_to_the_first_nul() -> None:
    raw = struct.pack("=H", socket.AF_UNIX) + b"/run/docker.sock\0rubbish"
    assert parse(raw) == Named(b"/run/docker.sock")
