"""The few file operations that the record is built from, as an object that is handed in.

A test or a fault-injection layer subclasses :class:`Files` and makes any one of them fail.
"""

import contextlib
import fcntl
import os
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


class Files:
    """The operating system's own calls. Every method raises OSError when its call fails."""

    def open(self, path: Path, flags: int, mode: int = PRIVATE_FILE) -> int:
        """A descriptor that children do not inherit."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, fd: int) -> None:
        """Close a descriptor; its lock goes with it."""
        os.close(fd)

    def write(self, fd: int, data: bytes) -> int:
        """One write. Returns how many bytes were taken: fewer than given when the disk is full."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """Wait until everything written to ``fd`` is on the disk."""
        os.fsync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        os.ftruncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        """Put ``source`` in the place of ``target``, in one step."""
        os.rename(source, target)  # noqa: PTH104 - the seam names the system calls

    def link(self, source: Path, target: Path) -> None:
        """Give ``source`` a second name; FileExistsError when the name is taken."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        os.unlink(path)  # noqa: PTH108 - the seam names the system calls

    def mkdir(self, path: Path) -> None:
        """Create a folder that only its owner may enter; FileExistsError when it is there."""
        os.mkdir(path, PRIVATE_FOLDER)  # noqa: PTH102 - the seam names the system calls

    def lock(self, fd: int) -> None:
        """Take the exclusive lock of an open file; BlockingIOError when another has it."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sync_folder(files: Files, folder: Path) -> None:
    """Make the names in ``folder`` durable: a new file is safe only once its folder is."""
    fd = files.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        files.fsync(fd)
    finally:
        files.close(fd)


def make_folder(files: Files, folder: Path) -> None:
    """Create ``folder`` and what is missing above it, private and durable."""
    if folder.is_dir():
        return
    make_folder(files, folder.parent)
    with contextlib.suppress(FileExistsError):
        files.mkdir(folder)
    sync_folder(files, folder.parent)


def write_file(files: Files, path: Path, data: bytes) -> None:
    """Write a new file whole, and wait until its bytes are durable (its name is not yet).

    Raises:
        FileExistsError: the name is taken.
        OSError: nothing is left behind then, as far as the disk allows.
    """
    fd = files.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[files.write(fd, bytes(rest)) :]
            files.fsync(fd)
        finally:
            files.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            files.unlink(path)
        raise


def temporary(path: Path) -> Path:
    """A hidden name beside ``path`` for a file that is about to take its place."""
    return path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")


def replace_file(files: Files, path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one durable step: whoever reads sees the old or the new bytes.

    Raises:
        OSError: the old file is still there then.
    """
    new = temporary(path)
    write_file(files, new, data)
    try:
        files.rename(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            files.unlink(new)
        raise
    sync_folder(files, path.parent)
