import errno
import re
import socket
from pathlib import Path

import pytest

from runbookd.kernels.sandbox import bpf, seccomp, syscalls
from runbookd.kernels.sandbox.syscalls import AARCH64, X86_64, Machine

from .bpf_machine import run

ALLOW, NOTIFY, KILL = 0x7FFF0000, 0x7FC00000, 0x80000000
PRETEND = 0x00050000
EPERM = 0x00050000 | errno.EPERM
EACCES = 0x00050000 | errno.EACCES
ENOSYS = 0x00050000 | errno.ENOSYS
ENOTTY = 0x00050000 | errno.ENOTTY

MACHINES = pytest.mark.parametrize("machine", [X86_64, AARCH64], ids=lambda m: m.name)


def decide(machine: Machine, call: str, *arguments: int, unix_sockets: bool = False) -> int:
    """What the filter answers to a call by name; a call the machine lacks cannot be asked for."""
    number = machine.number(call)
    assert number is not None
    code = bpf.encode(seccomp.program(machine, unix_sockets=unix_sockets))
    return run(code, number, arguments, machine.audit)


@MACHINES
@pytest.mark.parametrize("call", seccomp.DENIED)
def test_what_is_denied_is_denied_with_any_arguments(machine: Machine, call: str) -> None:
    if machine.number(call) is not None:
        assert decide(machine, call) == EPERM
        assert decide(machine, call, *[0xFFFFFFFFFFFFFFFF] * 6) == EPERM


# The list as the threat model has it: a call that vanishes from the filter must be missed here.
@pytest.mark.parametrize(
    "call",
    """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init
    finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register
    io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lsm_set_self_attr
    migrate_pages modify_ldt mount mount_setattr move_mount move_pages mq_getsetattr mq_notify
    mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd name_to_handle_at
    open_by_handle_at open_tree open_tree_attr perf_event_open pidfd_getfd pivot_root
    process_madvise process_mrelease process_vm_readv process_vm_writev ptrace quotactl quotactl_fd
    reboot request_key semctl semget semop semtimedop setdomainname sethostname setns settimeofday
    shmat shmctl shmdt shmget swapoff swapon umount2 unshare userfaultfd vhangup
    """.split(),  # noqa: SIM905
)
def test_nothing_that_reaches_past_the_walls_is_forgotten(call: str) -> None:
    assert decide(X86_64, call) == EPERM


@MACHINES
@pytest.mark.parametrize(
    "call",
    """
    chmod chown fchmod fchmodat fchmodat2 fchown fchownat file_setattr fremovexattr fsetxattr
    futimesat lchown lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat utime
    utimensat utimes
    """.split(),  # noqa: SIM905
)
def test_changes_of_metadata_look_done_and_are_not(machine: Machine, call: str) -> None:
    if machine.number(call) is not None:
        assert decide(machine, call) == PRETEND


@MACHINES
@pytest.mark.parametrize("call", ["connect", "listen", "setsid"])
def test_some_calls_are_the_daemons_to_decide(machine: Machine, call: str) -> None:
    assert decide(machine, call) == NOTIFY


@MACHINES
def test_a_terminals_other_end_is_opened_by_the_daemon(machine: Machine) -> None:
    assert decide(machine, "ioctl", 3, 0x5441) == NOTIFY


@MACHINES
def test_another_calling_convention_is_fatal(machine: Machine) -> None:
    code = bpf.encode(seccomp.program(machine, unix_sockets=False))
    assert run(code, 20, arch=0x40000003) == KILL  # i386
    other = AARCH64 if machine is X86_64 else X86_64
    assert run(code, 20, arch=other.audit) == KILL


@MACHINES
@pytest.mark.parametrize("number", [470, 0x40000000 | 39, 0xFFFFFFFF])
def test_calls_that_nobody_has_looked_at_do_not_exist(machine: Machine, number: int) -> None:
    code = bpf.encode(seccomp.program(machine, unix_sockets=False))
    assert run(code, number, arch=machine.audit) == ENOSYS


@MACHINES
@pytest.mark.parametrize("kind", [0, socket.SOCK_CLOEXEC, socket.SOCK_NONBLOCK])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("protocol", [0, 6])
def test_tcp_sockets_can_be_made(machine: Machine, family: int, kind: int, protocol: int) -> None:
    assert decide(machine, "socket", family, socket.SOCK_STREAM | kind, protocol) == ALLOW


@MACHINES
@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        (socket.AF_INET, socket.SOCK_DGRAM, 0),
        (socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 17),
        (socket.AF_INET6, socket.SOCK_DGRAM, 0),
        (socket.AF_INET, socket.SOCK_RAW, 1),
        (socket.AF_INET, socket.SOCK_SEQPACKET, 132),
        (socket.AF_INET, socket.SOCK_STREAM, 132),  # SCTP
        (socket.AF_INET, socket.SOCK_STREAM, 262),  # MPTCP
        (socket.AF_INET6, socket.SOCK_STREAM, 262),
        (socket.AF_UNIX, socket.SOCK_STREAM, 0),
        (socket.AF_UNIX, socket.SOCK_DGRAM, 0),
        (17, socket.SOCK_RAW, 0),  # packets
        (38, socket.SOCK_SEQPACKET, 0),  # the kernel's cryptography
        (40, socket.SOCK_STREAM, 0),  # the hypervisor
        (43, socket.SOCK_STREAM, 0),  # SMC
        (44, socket.SOCK_RAW, 0),  # XDP
    ],
)
def test_no_other_socket_can_be_made(
    machine: Machine, family: int, kind: int, protocol: int
) -> None:
    assert decide(machine, "socket", family, kind, protocol) == EACCES


@MACHINES
def test_a_netlink_socket_is_not_supported_rather_than_denied(machine: Machine) -> None:
    assert decide(machine, "socket", 16, socket.SOCK_RAW, 0) == 0x00050000 | errno.EOPNOTSUPP


@MACHINES
@pytest.mark.parametrize(
    ("kind", "decision"),
    [
        (socket.SOCK_STREAM, ALLOW),
        (socket.SOCK_STREAM | socket.SOCK_CLOEXEC, ALLOW),
        (socket.SOCK_SEQPACKET, ALLOW),
        (socket.SOCK_DGRAM, EACCES),  # can be sent to any name
        (socket.SOCK_RAW, EACCES),  # means the same here
    ],
)
def test_a_pair_of_sockets_must_stay_a_pair(machine: Machine, kind: int, decision: int) -> None:
    assert decide(machine, "socketpair", socket.AF_UNIX, kind, 0) == decision
    assert decide(machine, "socket", socket.AF_UNIX, kind, unix_sockets=True) == decision


@MACHINES
def test_pairs_are_unix_sockets(machine: Machine) -> None:
    assert decide(machine, "socketpair", 30, socket.SOCK_STREAM, 0) == EACCES  # TIPC


@MACHINES
@pytest.mark.parametrize(("call", "flags"), [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)])
def test_data_cannot_be_sent_before_connecting(machine: Machine, call: str, flags: int) -> None:
    arguments = [5, 0, 0, 0, 0, 0]
    assert decide(machine, call, *arguments) == ALLOW
    arguments[flags] = 0x20000000 | 0x4000
    assert decide(machine, call, *arguments) == 0x00050000 | errno.EOPNOTSUPP


@MACHINES
@pytest.mark.parametrize(
    ("level", "option", "decision"),
    [
        (0, 4, EPERM),
        (41, 5, EPERM),
        (41, 6, EPERM),
        (41, 57, EPERM),
        (0, 1, ALLOW),
        (6, 4, ALLOW),
        (1, 57, ALLOW),
    ],
)
def test_no_detour_can_be_asked_for(
    machine: Machine, level: int, option: int, decision: int
) -> None:
    assert decide(machine, "setsockopt", 3, level, option) == decision


@MACHINES
@pytest.mark.parametrize("flag", [0x20000, *(1 << bit for bit in range(25, 31)), 0x8000])
def test_a_process_cannot_be_born_elsewhere(machine: Machine, flag: int) -> None:
    assert decide(machine, "clone", flag | 17) == EPERM


@MACHINES
def test_ordinary_forks_and_threads_work(machine: Machine) -> None:
    assert decide(machine, "clone", 0x01200011) == ALLOW
    assert decide(machine, "clone", 0x003D0F00) == ALLOW
    assert decide(machine, "clone", 0x4111) == ALLOW  # vfork
    assert decide(machine, "clone3") == ENOSYS  # the C library then takes clone


@MACHINES
@pytest.mark.parametrize(
    "request_",
    [
        0x5412,  # TIOCSTI
        0x541C,  # TIOCLINUX
        0x5423,  # TIOCSETD
        0x541D,  # TIOCCONS
        0x40086602,  # FS_IOC_SETFLAGS
        0x401C5820,  # FS_IOC_FSSETXATTR
        0x40806685,  # FS_IOC_ENABLE_VERITY
        0x800C6613,  # FS_IOC_SET_ENCRYPTION_POLICY
        0xC0502100,
    ],
)
def test_ioctl_knows_few_requests(machine: Machine, request_: int) -> None:
    assert decide(machine, "ioctl", 3, request_) == ENOTTY
    assert decide(machine, "ioctl", 3, 0x7F00000000 | request_) == ENOTTY


@MACHINES
@pytest.mark.parametrize("request_", [0x5401, 0x5413, 0x5414, 0x541B, 0x5421, 0x5451, 0x80045430])
def test_ioctl_knows_terminals_and_descriptors(machine: Machine, request_: int) -> None:
    assert decide(machine, "ioctl", 3, request_) == ALLOW


@MACHINES
def test_no_lease_on_a_file_and_no_watch_on_a_folder(machine: Machine) -> None:
    assert decide(machine, "fcntl", 3, 1024) == EPERM
    assert decide(machine, "fcntl", 3, 1026) == EPERM
    assert decide(machine, "fcntl", 3, 3) == ALLOW


@MACHINES
@pytest.mark.parametrize(
    "call", ["sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"]
)
def test_only_ones_own_scheduling_changes(machine: Machine, call: str) -> None:
    assert decide(machine, call, 0) == ALLOW
    assert decide(machine, call, 1 << 32) == ALLOW
    assert decide(machine, call, 1) == PRETEND


@MACHINES
def test_only_ones_own_limits_change(machine: Machine) -> None:
    assert decide(machine, "prlimit64", 0) == ALLOW
    assert decide(machine, "prlimit64", 1234) == EPERM


@MACHINES
@pytest.mark.parametrize(("call", "process"), [("setpriority", 0), ("ioprio_set", 1)])
def test_only_ones_own_priority_changes(machine: Machine, call: str, process: int) -> None:
    assert decide(machine, call, process, 0) == ALLOW
    assert decide(machine, call, process, 77) == PRETEND
    assert decide(machine, call, process + 1, 0) == PRETEND  # a group
    assert decide(machine, call, process + 2, 0) == PRETEND  # a user


def test_everyday_calls_pass() -> None:
    code = bpf.encode(seccomp.program(X86_64, unix_sockets=False))
    for number in (0, 1, 2, 3, 9, 39, 57, 59, 62, 202, 231, 257, 262, 318, 332, 334, 434, 436):
        assert run(code, number) == ALLOW


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        (X86_64, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        (AARCH64, "/usr/include/asm-generic/unistd.h"),
    ],
    ids=["x86_64", "aarch64"],
)
def test_numbers_are_the_kernels(machine: Machine, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    pattern = r"^#define __NR(?:3264)?_(\w+)\s+(\d+)"
    official = {
        name: int(number)
        for name, number in re.findall(pattern, Path(header).read_text(), re.MULTILINE)
    }
    newest = max(official.values())
    for call in syscalls._NUMBERS:
        number = machine.number(call)
        if number is None or number <= newest:
            assert official.get(call) == number, call
