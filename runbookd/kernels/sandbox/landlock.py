"""Which files, TCP ports and processes a sandboxed process may touch (Landlock).

See ``linux/landlock.h`` and https://docs.kernel.org/userspace-api/landlock.html. A ruleset denies
everything it handles and that no rule grants. We handle every right there is, so that a rule says
all that is possible below a path.
"""

import os
import stat
import struct
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runbookd.errors import KernelUnavailable
from runbookd.kernels.sandbox.syscalls import buffer, syscall

OLDEST_ABI = 6
"""The first version that can keep signals and abstract Unix sockets inside (Linux 6.12)."""

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SOCK = 1 << 9
MAKE_FIFO = 1 << 10
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15
_HANDLED_FILES = (1 << 16) - 1

_OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

BIND_TCP = 1 << 0
CONNECT_TCP = 1 << 1

ABSTRACT_UNIX_SOCKET = 1 << 0
SIGNAL = 1 << 1

READ = EXECUTE | READ_FILE | READ_DIR
WRITE = (
    READ
    | WRITE_FILE
    | TRUNCATE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_FIFO
    | MAKE_SYM
    | REFER
)

_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2


@dataclass(frozen=True)
class Grant:
    """Rights on a file, or on a folder and everything below it."""

    path: Path
    rights: int


def abi() -> int:
    """The version of Landlock's interface; 0 where there is none, or where it is switched off."""
    try:
        return syscall("landlock_create_ruleset", 0, 0, _VERSION)
    except OSError:
        return 0


def build(grants: Iterable[Grant], bind: Iterable[int], *, signals: bool) -> int:
    """A ruleset's descriptor, for the caller to close.

    Connecting is granted to no port at all: connections are made by the broker. Abstract Unix
    sockets stay inside for the same reason.

    Args:
        grants: what may be read and written; what does not exist (any more) is left out.
        bind: TCP ports that may be bound.
        signals: whether processes outside may be signalled.

    Raises:
        KernelUnavailable: this Landlock is too old, or refuses a rule.
    """
    version = abi()
    if version < OLDEST_ABI:
        raise KernelUnavailable(
            f"Landlock version {version} cannot keep signals inside",
            f"a kernel with Landlock version {OLDEST_ABI} (Linux 6.12) or later is needed",
        )
    scopes = ABSTRACT_UNIX_SOCKET | (0 if signals else SIGNAL)
    attributes = struct.pack("=QQQ", _HANDLED_FILES, BIND_TCP | CONNECT_TCP, scopes)
    with ExitStack() as on_failure:
        try:
            ruleset = syscall("landlock_create_ruleset", buffer(attributes), len(attributes), 0)
            on_failure.callback(os.close, ruleset)
            for grant in grants:
                _add_path(ruleset, grant)
            for port in bind:
                rule = buffer(struct.pack("=QQ", BIND_TCP, port))
                syscall("landlock_add_rule", ruleset, _NET_PORT, rule, 0)
        except OSError as error:
            raise KernelUnavailable(
                f"Landlock refused a rule: {error.strerror}", "run runbookd doctor"
            ) from error
        on_failure.pop_all()
    return ruleset


def restrict(descriptor: int) -> None:
    """Put a ruleset in force for the calling thread and all that it will start, for good.

    Raises:
        OSError: no_new_privs is not set, or 16 layers are in force already (E2BIG).
    """
    syscall("landlock_restrict_self", descriptor, 0)


def _add_path(ruleset: int, grant: Grant) -> None:
    try:
        # The path was resolved before: a link put in its place since must not be followed.
        target = os.open(grant.path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        kind = os.fstat(target).st_mode
        if stat.S_ISLNK(kind):
            return
        rights = grant.rights if stat.S_ISDIR(kind) else grant.rights & _OF_A_FILE
        rule = buffer(struct.pack("=Qi", rights, target))
        syscall("landlock_add_rule", ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(target)
