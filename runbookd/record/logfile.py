"""``record.jsonl`` open for appending: one locked descriptor, and what belongs beside it.

Everything here blocks, and is called by one thread at a time.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from runbookd.errors import RecordError, RecordUnwritable
from runbookd.record.files import Files, make_folder, replace_file, sync_folder, write_file
from runbookd.record.layout import CHECKPOINT, RECORD, RESERVE, TORN, VKEY

RESERVE_SIZE = 65_536
"""Bytes kept back on the disk, enough for the last words of a session."""

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class AppendFailed(Exception):
    """Nothing was added, and nothing may be added any more.

    Attributes:
        reason: the system's words.
        spare: the disk is full, the file was cut back to its last good line, and the reserve may
            still be spent.
    """

    def __init__(self, reason: str, *, spare: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.spare = spare


class LogFile:
    """The open record of one session. Made by :func:`create_log` and :func:`open_log`.

    Attributes:
        end: where the last good line ends, in bytes.
    """

    def __init__(self, files: Files, folder: Path, fd: int, end: int) -> None:
        self._files = files
        self._folder = folder
        self._fd = fd
        self.end = end

    def extend(self, data: bytes) -> None:
        """Append whole lines, durably.

        Raises:
            AppendFailed: a failed or short write, or a failed fsync.
        """
        try:
            taken = self._files.write(self._fd, data)
        except OSError as error:
            raise self._failed(error.strerror or "error", error.errno in _NO_SPACE) from error
        if taken != len(data):
            raise self._failed(f"only {taken} of {len(data)} bytes were written", True)
        try:
            self._files.fsync(self._fd)
        except OSError as error:
            # What was written may or may not be on the disk, and asking again would not tell.
            raise self._failed(f"fsync: {error.strerror}", False) from error
        self.end += len(data)

    def extend_from_reserve(self, data: bytes) -> None:
        """Give the reserve back to the disk, and append. Raises like :meth:`extend`."""
        with contextlib.suppress(OSError):
            self._files.unlink(self._folder / RESERVE)
        self.extend(data)

    def write_checkpoint(self, note: str) -> None:
        """Replace the ``checkpoint`` file.

        Raises:
            AppendFailed: the file is as it was.
        """
        try:
            replace_file(self._files, self._folder / CHECKPOINT, note.encode())
        except OSError as error:
            raise AppendFailed(
                f"checkpoint: {error.strerror}", spare=error.errno in _NO_SPACE
            ) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """The same file, from its beginning."""
        with open(os.dup(self._fd), "rb") as file:  # noqa: PTH123 - the locked file itself
            file.seek(0)
            yield file

    def set_aside(self, seq: int, torn: bytes) -> Path:
        """Move the bytes behind the last good line into a file of their own, and return it.

        Raises:
            OSError: the record still holds them.
        """
        path = self._folder / TORN.format(seq=seq)
        attempt = 0
        while True:
            try:
                write_file(self._files, path, torn)
                break
            except FileExistsError:
                attempt += 1
                path = path.with_suffix(f".{attempt}")
        sync_folder(self._files, self._folder)
        self._files.truncate(self._fd, self.end)
        self._files.fsync(self._fd)
        return path

    def close(self) -> None:
        """Let go of the file and its lock."""
        self._files.close(self._fd)

    def _failed(self, reason: str, no_space: bool) -> AppendFailed:
        """Cut off what an append left behind its last good line."""
        try:
            self._files.truncate(self._fd, self.end)
            self._files.fsync(self._fd)
        except OSError:
            return AppendFailed(f"{reason}; the record's tail could not be cut off", spare=False)
        return AppendFailed(reason, spare=no_space)


def create_log(files: Files, folder: Path, vkey: str) -> LogFile:
    """Start a record in ``folder``, which is made when it is missing.

    Raises:
        RecordUnwritable: there is a record already, or the disk refuses; nothing new is left
            behind then.
    """
    path = folder / RECORD
    fd: int | None = None
    try:
        make_folder(files, folder)
        fd = files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        files.lock(fd)
        replace_file(files, folder / VKEY, f"{vkey}\n".encode())
        make_reserve(files, folder)
        files.fsync(fd)
        sync_folder(files, folder)
    except FileExistsError as error:
        raise RecordUnwritable(f"{folder} already holds a record", "open it instead") from error
    except OSError as error:
        if fd is not None:
            for name in (RECORD, VKEY, RESERVE):
                with contextlib.suppress(OSError):
                    files.unlink(folder / name)
            files.close(fd)
        raise RecordUnwritable(
            f"no record can be started in {folder}: {error.strerror}",
            "look at the disk's free space and the folder's permissions",
        ) from error
    return LogFile(files, folder, fd, 0)


def open_log(files: Files, folder: Path) -> LogFile:
    """Open and lock the record in ``folder``; its :attr:`LogFile.end` is still 0.

    Raises:
        RecordError: there is none.
        RecordUnwritable: another writer has it, or it cannot be opened.
    """
    path = folder / RECORD
    try:
        fd = files.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise RecordError(f"{folder} holds no record") from None
    except OSError as error:
        raise RecordUnwritable(f"{path} cannot be opened: {error.strerror}") from error
    try:
        files.lock(fd)
    except OSError as error:
        files.close(fd)
        raise RecordUnwritable(
            f"another process writes {path}", "end the other daemon first"
        ) from error
    return LogFile(files, folder, fd, 0)


def make_reserve(files: Files, folder: Path) -> None:
    """Put bytes aside that last words can be written into when the disk is full.

    Raises:
        OSError: the disk is full already.
    """
    # Bytes that a compressing file system cannot make smaller.
    with contextlib.suppress(FileExistsError):
        write_file(files, folder / RESERVE, hashlib.shake_256(b"reserve").digest(RESERVE_SIZE))
