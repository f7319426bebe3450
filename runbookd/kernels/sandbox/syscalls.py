"""System call numbers and the C library's ``syscall``: what the sandbox asks Linux for by number.

Numbers are those of the kernel's own tables: ``arch/x86/entry/syscalls/syscall_64.tbl`` and, for
aarch64, ``include/uapi/asm-generic/unistd.h``. From 424 on all architectures agree.
"""

import ctypes
import errno
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache

LAST_KNOWN = 469
"""The highest number whose meaning was checked (file_setattr, Linux 6.17)."""

# name: (x86_64, aarch64); None where the architecture never had the call.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chmod": (90, None),
    "chown": (92, None),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "connect": (42, 203),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fcntl": (72, 25),
    "file_setattr": (469, 469),
    "finit_module": (313, 273),
    "fremovexattr": (199, 16),
    "fsconfig": (431, 431),
    "fsetxattr": (190, 7),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "futimesat": (261, None),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "ioprio_get": (252, 31),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "lchown": (94, None),
    "listen": (50, 201),
    "lookup_dcookie": (212, 18),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "lsm_set_self_attr": (460, 460),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_getsetattr": (245, 185),
    "mq_notify": (244, 184),
    "mq_open": (240, 180),
    "mq_timedreceive": (243, 183),
    "mq_timedsend": (242, 182),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "request_key": (249, 218),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "seccomp": (317, 277),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "setsid": (112, 157),
    "setsockopt": (54, 208),
    "settimeofday": (164, 170),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysfs": (139, None),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
    "vhangup": (153, 58),
}


@dataclass(frozen=True)
class Machine:
    """An architecture that the sandbox knows.

    ``audit`` is its AUDIT_ARCH value (``linux/audit.h``), which a filter compares with.
    """

    name: str
    audit: int
    column: int

    def number(self, call: str) -> int | None:
        """The number of ``call``, or None where this machine does not have it."""
        return _NUMBERS[call][self.column]


X86_64 = Machine("x86_64", 0xC000003E, 0)
AARCH64 = Machine("aarch64", 0xC00000B7, 1)


def this_machine() -> Machine | None:
    """The machine this interpreter runs on; None where no filter can be written for it.

    A 32-bit interpreter on a 64-bit kernel, and a big-endian one, are not known.
    """
    if sys.platform != "linux" or sys.byteorder != "little" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    return {"x86_64": X86_64, "aarch64": AARCH64}.get(platform.machine())


def syscall(call: str, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes.Structure) -> int:
    """Make the system call named ``call``; buffers and structures are passed by address.

    Raises:
        OSError: the kernel refused, or this machine has no such call (ENOSYS).
    """
    machine = this_machine()
    number = machine.number(call) if machine else None
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), call)
    words = [
        ctypes.c_long(item) if isinstance(item, int) else ctypes.byref(item) for item in arguments
    ]
    result = int(_libc().syscall(ctypes.c_long(number), *words))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), call)
    return result


def buffer(content: bytes) -> ctypes.Array[ctypes.c_char]:
    """``content`` at an address, for a call that wants one; exactly its length."""
    return ctypes.create_string_buffer(content, len(content))


def prctl(option: int, *arguments: int) -> int:
    """``prctl(2)`` on the calling thread. Raises OSError."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    result = int(_libc().prctl(option, *(ctypes.c_ulong(item) for item in padded)))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "prctl")
    return result


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc
