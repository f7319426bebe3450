"""Which system calls a sandboxed process may make (seccomp), and how the filter is put in force.

Landlock guards the paths. The filter guards what Landlock does not know: kinds of sockets,
metadata of files, namespaces, shared memory, other processes' scheduling, and interfaces that
would walk around either of the two. A few calls are handed to the daemon (see ``broker``).

Calls that are newer than :data:`~runbookd.kernels.sandbox.syscalls.LAST_KNOWN` do not exist for
a sandboxed process: what nobody has looked at is not allowed.
"""

import ctypes
import errno
import socket

from runbookd.kernels.sandbox import bpf
from runbookd.kernels.sandbox.bpf import ALLOW, KILL, NOTIFY, Block, end, fail_with
from runbookd.kernels.sandbox.syscalls import LAST_KNOWN, Machine, syscall

DENIED = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime create_module delete_module
    fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick init_module
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
    keyctl lookup_dcookie lsm_set_self_attr migrate_pages modify_ldt mount mount_setattr move_mount
    move_pages mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget
    msgrcv msgsnd name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr
    perf_event_open pidfd_getfd pivot_root process_madvise process_mrelease process_vm_readv
    process_vm_writev ptrace quotactl quotactl_fd reboot request_key semctl semget semop semtimedop
    setdomainname sethostname setns settimeofday shmat shmctl shmdt shmget swapoff swapon sysfs
    umount2 unshare uselib userfaultfd vhangup
""".split()  # noqa: SIM905
"""Refused with EPERM whatever the arguments."""

PRETENDED = """
    chmod chown fchmod fchmodat fchmodat2 fchown fchownat file_setattr fremovexattr fsetxattr
    futimesat lchown lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat utime
    utimensat utimes
""".split()  # noqa: SIM905
"""Changes of metadata, which Landlock does not restrict: they return success and do nothing.

Refusing them would break programs that copy a file's mode along with it, IPython's start among
them; everywhere else than in the scratch folder doing nothing is what is wanted.
"""

BROKERED = ("connect", "listen", "setsid")
"""Decided by the daemon, call by call; so is the opening of a terminal's other end."""

TIOCGPTPEER = 0x5441

_IOCTLS = (
    *range(0x5401, 0x540F),  # TCGETS to TIOCSCTTY: a terminal's settings
    *range(0x540F, 0x5412),  # TIOCGPGRP, TIOCSPGRP, TIOCOUTQ; 0x5412 is TIOCSTI, which types
    *range(0x5413, 0x541C),  # TIOCGWINSZ to FIONREAD; 0x541C is TIOCLINUX, which pastes
    *range(0x5420, 0x5423),  # TIOCPKT, FIONBIO, TIOCNOTTY
    *range(0x5424, 0x5426),  # TIOCGETD, TCSBRKP
    0x5429,  # TIOCGSID
    0x802C542A,  # TCGETS2
    0x80045430,  # TIOCGPTN
    0x40045431,  # TIOCSPTLCK
    *range(0x5450, 0x5453),  # FIONCLEX, FIOCLEX, FIOASYNC
    0x5460,  # FIOQSIZE
    0x8905,  # SIOCATMARK
    0x80086601,  # FS_IOC_GETFLAGS
    0x40049409,  # FICLONE: needs a descriptor that may be written
)
"""Requests that ioctl may make. Others look like requests the device does not know (ENOTTY)."""

_MSG_FASTOPEN = 0x20000000
_NEW_NAMESPACE = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_CLONE_PARENT = 0x00008000  # would make the daemon the parent of a process it never started
_F_SETLEASE, _F_NOTIFY = 1024, 1026
_IP_OPTIONS = 4
_IPV6_ROUTES = (5, 6, 57)  # IPV6_2292RTHDR, IPV6_2292PKTOPTIONS, IPV6_RTHDR
_PRIO_PROCESS, _IOPRIO_WHO_PROCESS = 0, 1
_AF_NETLINK = 16
_SOCK_TYPE = 0xF
_ANY_PROTOCOL, _TCP = 0, 6

_SET_MODE_FILTER = 1
_NEW_LISTENER = 8


def program(machine: Machine, *, unix_sockets: bool) -> Block:
    """The filter for one machine.

    Args:
        machine: whose numbers to use; every other calling convention is fatal.
        unix_sockets: whether Unix stream sockets may be made; reaching one stays brokered.
    """
    refuse = end(fail_with(errno.EPERM))
    pretend = end(fail_with(0))
    calls: list[tuple[str, Block]] = [
        *((call, end(NOTIFY)) for call in BROKERED),
        *((call, pretend) for call in PRETENDED),
        *((call, refuse) for call in DENIED),
        ("clone3", end(fail_with(errno.ENOSYS))),  # its flags are out of a filter's reach
        (
            "clone",
            [
                *bpf.load_argument(0),
                *bpf.if_any_bit(_NEW_NAMESPACE | _CLONE_PARENT, refuse),
                *end(ALLOW),
            ],
        ),
        ("socket", _socket(unix_sockets)),
        ("socketpair", _socketpair()),
        ("sendto", _without_fast_open(3)),
        ("sendmsg", _without_fast_open(2)),
        ("sendmmsg", _without_fast_open(3)),
        ("setsockopt", _without_source_routes()),
        ("ioctl", _ioctl()),
        (
            "fcntl",
            [
                *bpf.load_argument(1),
                *bpf.if_one_of((_F_SETLEASE, _F_NOTIFY), refuse),
                *end(ALLOW),
            ],
        ),
        ("prlimit64", _only_oneself(refuse)),
        # libzmq and others set their own threads by number, and abort if they may not.
        ("sched_setaffinity", _only_oneself(pretend)),
        ("sched_setattr", _only_oneself(pretend)),
        ("sched_setparam", _only_oneself(pretend)),
        ("sched_setscheduler", _only_oneself(pretend)),
        ("setpriority", _only_oneself(pretend, which=_PRIO_PROCESS)),
        ("ioprio_set", _only_oneself(pretend, which=_IOPRIO_WHO_PROCESS)),
    ]
    known = ((machine.number(call), block) for call, block in calls)
    return [
        *bpf.load_architecture(),
        *bpf.unless_equal(machine.audit, end(KILL)),
        *bpf.load_number(),
        *bpf.if_at_least(LAST_KNOWN + 1, end(fail_with(errno.ENOSYS))),  # x32 too: bit 30 is set
        *(
            step
            for number, block in known
            if number is not None
            for step in bpf.if_equal(number, block)
        ),
        *end(ALLOW),
    ]


def install(steps: Block) -> int:
    """Put a filter in force for the calling thread and all that it will start.

    Returns:
        The descriptor on which the kernel asks about brokered calls; closed on exec.

    Raises:
        OSError: the kernel refused, for example because no_new_privs is not set (EACCES), or
            because a filter above this one has a listener already (EBUSY).
    """
    code = bpf.encode(steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = _Program(len(steps), ctypes.addressof(buffer))
    return syscall("seccomp", _SET_MODE_FILTER, _NEW_LISTENER, header)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def _socket(unix_sockets: bool) -> Block:
    tcp = [
        *bpf.load_argument(1),
        *bpf.mask(_SOCK_TYPE),
        *bpf.unless_equal(socket.SOCK_STREAM, end(fail_with(errno.EACCES))),
        *bpf.load_argument(2),  # MPTCP and SCTP are streams too, and pass Landlock's rules by
        *bpf.if_one_of((_ANY_PROTOCOL, _TCP), end(ALLOW)),
        *end(fail_with(errno.EACCES)),
    ]
    return [
        *bpf.load_argument(0),
        *bpf.if_one_of((socket.AF_INET, socket.AF_INET6), tcp),
        *(bpf.if_equal(socket.AF_UNIX, _connected_unix()) if unix_sockets else []),
        # libzmq aborts on any other answer; this one it takes for a system without interfaces.
        *bpf.if_equal(_AF_NETLINK, end(fail_with(errno.EOPNOTSUPP))),
        *end(fail_with(errno.EACCES)),
    ]


def _socketpair() -> Block:
    return [
        *bpf.load_argument(0),
        *bpf.if_equal(socket.AF_UNIX, _connected_unix()),
        *end(fail_with(errno.EACCES)),
    ]


def _connected_unix() -> Block:
    """Only kinds whose peer is settled by connect: a datagram can be sent to any name."""
    return [
        *bpf.load_argument(1),
        *bpf.mask(_SOCK_TYPE),
        *bpf.if_one_of((socket.SOCK_STREAM, socket.SOCK_SEQPACKET), end(ALLOW)),
        *end(fail_with(errno.EACCES)),
    ]


def _without_fast_open(flags: int) -> Block:
    """TCP Fast Open connects without a call to connect."""
    return [
        *bpf.load_argument(flags),
        *bpf.if_any_bit(_MSG_FASTOPEN, end(fail_with(errno.EOPNOTSUPP))),
        *end(ALLOW),
    ]


def _without_source_routes() -> Block:
    """A source route sends what is addressed to one host to another first."""
    refuse = end(fail_with(errno.EPERM))
    ip = [*bpf.load_argument(2), *bpf.if_equal(_IP_OPTIONS, refuse), *end(ALLOW)]
    ipv6 = [*bpf.load_argument(2), *bpf.if_one_of(_IPV6_ROUTES, refuse), *end(ALLOW)]
    return [
        *bpf.load_argument(1),
        *bpf.if_equal(socket.IPPROTO_IP, ip),
        *bpf.if_equal(socket.IPPROTO_IPV6, ipv6),
        *end(ALLOW),
    ]


def _ioctl() -> Block:
    return [
        *bpf.load_argument(1),
        *bpf.if_equal(TIOCGPTPEER, end(NOTIFY)),
        *bpf.if_one_of(_IOCTLS, end(ALLOW)),
        *end(fail_with(errno.ENOTTY)),
    ]


def _only_oneself(otherwise: Block, which: int | None = None) -> Block:
    """Allow calls about the calling thread, named by 0; with ``which``, of that kind only."""
    kind = [] if which is None else [*bpf.load_argument(0), *bpf.unless_equal(which, otherwise)]
    return [
        *kind,
        *bpf.load_argument(0 if which is None else 1),
        *bpf.unless_equal(0, otherwise),
        *end(ALLOW),
    ]
