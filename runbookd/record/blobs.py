"""Content-addressed files: ``blobs/sha256/<hex>`` holds exactly the bytes of that SHA-256."""

import asyncio
import hashlib
import os
import re
from pathlib import Path

from runbookd.errors import RecordError, RecordUnwritable
from runbookd.record.files import Files, make_folder, replace_file, sync_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """The blobs of one session."""

    def __init__(self, session: Path, files: Files | None = None) -> None:
        self.folder = session / "blobs" / "sha256"
        self._files = files or Files()

    def path(self, digest: str) -> Path:
        """Where the blob of that digest is, or would be.

        Raises:
            RecordError: ``digest`` is not 64 lower-case hex digits.
        """
        if not _DIGEST.fullmatch(digest):
            raise RecordError(f"{digest[:80]!r} is not a SHA-256")
        return self.folder / digest

    async def put(self, data: bytes) -> str:
        """Store bytes, durably, and return their digest. The caller has redacted them.

        Raises:
            RecordUnwritable: the disk refuses; no partial blob is left under a digest.
        """
        return await asyncio.to_thread(self._put, data)

    def get(self, digest: str) -> bytes:
        """The bytes of that digest, checked.

        Raises:
            RecordError: the blob is missing or unreadable, or its bytes are not those that were
                stored.
        """
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RecordError(
                f"blob {digest} cannot be read: {error.strerror}", "look with runbookd verify"
            ) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise RecordError(f"blob {digest} was altered", "look with runbookd verify")
        return data

    def _put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        try:
            if self._holds(path, digest):
                # Another thread may have put it there without its name being durable yet.
                sync_folder(self._files, self.folder)
            else:
                make_folder(self._files, self.folder)
                replace_file(self._files, path, data)
        except OSError as error:
            raise RecordUnwritable(
                f"a blob cannot be stored in {self.folder}: {error.strerror}",
                "look at the disk's free space and health",
            ) from error
        return digest

    def _holds(self, path: Path, digest: str) -> bool:
        """Whether the very blob is there already; a damaged one is written again."""
        try:
            return file_digest(path) == digest
        except FileNotFoundError:
            return False


def file_digest(path: Path) -> str:
    """The SHA-256 of a regular file, read in pieces.

    Raises:
        OSError: it cannot be read, or is a symbolic link.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:  # noqa: PTH123 - the descriptor was opened without links
        return hashlib.file_digest(file, "sha256").hexdigest()
