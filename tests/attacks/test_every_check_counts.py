"""Takes the sandbox's checks away one by one: each time an attack must succeed.

So the attacks are proved to be real, and no check can be lost unnoticed. Where two checks stand
in the way of one attack, it is shown that either is enough.
"""

import dataclasses
import os
import struct
import sys
from collections.abc import Callable

import pytest

from runbookd.kernels.sandbox import LandlockSandbox, bpf, landlock, privileges, seccomp, victim
from runbookd.kernels.sandbox.probe import attack
from runbookd.kernels.sandbox.syscalls import Machine, prctl

# Attacks that succeed when a call is not filtered any more.
FILTERED = {
    "chmod": {"chmod"},
    "fchmod": {"fchmod"},
    "fchmodat2": {"fchmodat2"},
    "chown": {"chown"},
    "utimensat": {"utime"},
    "setxattr": {"setxattr"},
    "setxattrat": {"setxattrat"},
    "removexattr": {"removexattr"},
    "file_setattr": {"file-attributes"},
    "fcntl": {"lease"},
    "ioctl": {"file-flags", "file-project"},
    "prlimit64": {"limit"},
    "sched_setaffinity": {"affinity"},
    "setpriority": {"priority"},
    "sched_setscheduler": {"scheduler"},
    "ioprio_set": {"io-priority"},
    "socket": {"udp", "udp6", "netlink", "vsock", "unix-datagram"},
    "socketpair": {"unix-by-pair", "unix-by-raw-pair"},
    "listen": {"listen-anywhere", "listen-outward"},
    "setsockopt": {"tcp6-source-route"},  # over IPv4 recent kernels want a privilege
    "io_uring_setup": {"io-uring"},
    "shmget": set(),
    "semget": set(),
    "add_key": {"key-add"},
    "request_key": {"key-request"},
    "keyctl": {"key-control"},
    "mq_open": {"posix-message-queue"},
    "unshare": {"user-namespace"},
    "clone": {"user-namespace-clone", "child-of-parent"},
    "clone3": {"user-namespace-clone3"},
    "setns": {"join-namespace"},
    "open_tree": {"mount-tree"},
    "userfaultfd": {"userfault"},
    "fanotify_init": {"watch-files"},
    "name_to_handle_at": {"file-handle"},
    "process_vm_readv": {"read-memory-by-call"},
    "process_vm_writev": {"write-memory-by-call"},
    "clock_settime": {"set-clock"},
}

# Attacks that succeed when Landlock does not handle a right any more.
FILES = {
    landlock.EXECUTE | landlock.READ_FILE: {"run-hidden"},
    landlock.WRITE_FILE: {
        *("write", "append", "write-via-proc", "write-through-link", "write-proc"),
    },
    landlock.READ_FILE: {
        *("read-hidden", "read-hidden-via-proc", "read-hidden-by-link", "read-hidden-by-folder"),
        "read-undeclared",
    },
    landlock.READ_DIR: {"list-hidden"},
    landlock.REMOVE_DIR: {"rmdir"},
    landlock.REMOVE_FILE: {"unlink"},
    landlock.MAKE_DIR: {"mkdir"},
    landlock.MAKE_REG: {"create", "write-tmp", "write-shm"},
    landlock.MAKE_SOCK: {"socket-file"},
    landlock.MAKE_FIFO: {"fifo"},
    landlock.MAKE_SYM: {"symlink"},
    landlock.TRUNCATE: {"truncate", "truncate-on-open"},
}

SIGNALS = {
    *("signal", "signal-by-pidfd", "signal-thread", "signal-queue", "signal-by-descriptor"),
    "signal-parent",
}


def allowed(sandbox: LandlockSandbox) -> set[str]:
    return {row.attack for row in attack(sandbox).rows if not row.denied}


class Lacking(Machine):
    """A machine whose filters leave out some calls."""

    without: frozenset[str]

    def number(self, call: str) -> int | None:
        return None if call in self.without else super().number(call)


def lacking(sandbox: LandlockSandbox, *calls: str) -> LandlockSandbox:
    machine = Lacking(**dataclasses.asdict(sandbox._machine))
    object.__setattr__(machine, "without", frozenset(calls))
    return LandlockSandbox(machine)


@pytest.mark.parametrize("call", FILTERED)
def test_a_call_that_is_not_filtered_lets_an_attack_through(
    sandbox: LandlockSandbox, call: str
) -> None:
    if sandbox._machine.number(call) is None:
        pytest.skip(f"{sandbox._machine.name} has no {call}")
    assert allowed(lacking(sandbox, call)) == FILTERED[call]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes Landlock ignore rights, as if nobody had thought of them."""

    def without(*, files: int = 0, ports: int = 0, scopes: int = 0) -> None:
        real = landlock.syscall

        def syscall(call: str, *arguments: object) -> int:
            match call, arguments:
                case "landlock_create_ruleset", [attributes, size, 0]:
                    a, b, c = struct.unpack("=QQQ", attributes.raw)
                    raw = struct.pack("=QQQ", a & ~files, b & ~ports, c & ~scopes)
                    return real(call, landlock.buffer(raw), size, 0)
                case "landlock_add_rule", [ruleset, 1, rule, 0]:
                    rights, target = struct.unpack("=Qi", rule.raw)
                    if not rights & ~files:
                        return 0
                    raw = struct.pack("=Qi", rights & ~files, target)
                    return real(call, ruleset, 1, landlock.buffer(raw), 0)
                case "landlock_add_rule", [_, 2, _, 0] if ports & landlock.BIND_TCP:
                    return 0
            return real(call, *arguments)

        monkeypatch.setattr(landlock, "syscall", syscall)

    return without


@pytest.mark.parametrize("right", FILES, ids=lambda right: f"{right:#x}")
def test_a_right_that_is_not_handled_lets_an_attack_through(
    sandbox: LandlockSandbox, without: Callable[..., None], right: int
) -> None:
    without(files=right)
    assert FILES[right] <= allowed(sandbox)


def test_without_the_scope_signals_get_out(
    sandbox: LandlockSandbox, without: Callable[..., None]
) -> None:
    without(scopes=landlock.SIGNAL)
    assert allowed(sandbox) == SIGNALS


def test_without_the_rule_any_port_can_be_bound(
    sandbox: LandlockSandbox, without: Callable[..., None]
) -> None:
    without(ports=landlock.BIND_TCP)
    assert allowed(sandbox) == {"bind-any-port", "bind-other-port"}


TCP = {"tcp", "tcp-nonblocking", "tcp-other-address", "tcp-mapped", "tcp6", "tcp-any-address"}


def test_without_the_broker_landlock_still_lets_nobody_connect(sandbox: LandlockSandbox) -> None:
    report = attack(lacking(sandbox, "connect"))
    assert all(row.denied for row in report.rows)
    assert report.why.startswith("does not work inside: control-endpoint")


def test_without_landlocks_ports_the_broker_still_decides(
    sandbox: LandlockSandbox, without: Callable[..., None]
) -> None:
    without(ports=landlock.CONNECT_TCP)
    assert allowed(sandbox) == set()


def test_without_both_anybody_can_be_reached(
    sandbox: LandlockSandbox, without: Callable[..., None]
) -> None:
    without(ports=landlock.CONNECT_TCP)
    found = allowed(lacking(sandbox, "connect"))
    assert TCP - {"tcp6"} <= found <= TCP


def test_without_landlocks_scope_abstract_sockets_are_still_out_of_reach(
    sandbox: LandlockSandbox, without: Callable[..., None]
) -> None:
    without(scopes=landlock.ABSTRACT_UNIX_SOCKET)
    assert allowed(sandbox) == set()


def test_without_either_unix_sockets_are_in_reach(
    sandbox: LandlockSandbox, without: Callable[..., None]
) -> None:
    without(scopes=landlock.ABSTRACT_UNIX_SOCKET)
    assert {"unix", "unix-abstract"} <= allowed(lacking(sandbox, "socket", "connect"))


@pytest.mark.parametrize("call", ["sendto", "sendmsg"])
def test_fast_open_would_get_past_the_broker(
    sandbox: LandlockSandbox, without: Callable[..., None], call: str
) -> None:
    without(ports=landlock.CONNECT_TCP)
    name = {"sendto": "tcp-fast-open", "sendmsg": "tcp-fast-open-message"}[call]
    assert allowed(lacking(sandbox, call)) == {name}


def test_multipath_tcp_would_get_past_landlock(sandbox: LandlockSandbox) -> None:
    assert {"mptcp", "unix"} <= allowed(lacking(sandbox, "socket", "connect"))


def test_foreign_calls_would_get_past_the_filter(
    sandbox: LandlockSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sandbox._machine.name != "x86_64":
        pytest.skip("there is no other convention to try here")
    monkeypatch.setattr(bpf, "unless_equal", lambda _value, _block: [])
    assert "foreign-call" in allowed(sandbox)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no privileges to keep")
def test_privileges_that_are_kept_are_noticed(
    sandbox: LandlockSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privileges, "drop", lambda: prctl(38, 1))
    assert "privileges" in allowed(sandbox)


def test_without_the_hiding_hidden_files_are_read(
    sandbox: LandlockSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Open(victim.Victim):
        def __enter__(self) -> "Open":
            super().__enter__()
            self.walls = self.walls.model_copy(update={"hidden": ()})
            return self

    monkeypatch.setattr(sys.modules[attack.__module__], "Victim", Open)
    assert {"read-hidden", "list-hidden", "run-hidden"} <= allowed(sandbox)


def test_without_any_filter_hardly_anything_but_files_is_safe(
    sandbox: LandlockSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seccomp, "program", lambda *_, **__: bpf.end(bpf.ALLOW))
    found = allowed(sandbox)
    assert {"udp", "chmod", "io-uring", "unix", "user-namespace"} <= found
    assert not {"write", "signal", "tcp", "read-hidden"} & found
