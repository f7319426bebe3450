"""The daemon's signing key, in a file that only its owner can read.

One Ed25519 key serves all sessions of a home; each session signs with it under its own origin
(see :class:`runbookd.record.note.Signer`).
"""

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from runbookd.errors import SecretUnavailable
from runbookd.record.files import Files, make_folder, sync_folder, temporary, write_file

_MAX_KEY_FILE = 16_384
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_or_create_key(home: Path, files: Files | None = None) -> Ed25519PrivateKey:
    """The key in ``<home>/keys/record.key`` (PKCS #8 in PEM), made there when there is none.

    Args:
        home: the daemon's state folder.
        files: the file operations; the system's own by default.

    Raises:
        SecretUnavailable: the file or its folder is open to others or belongs to someone else,
            the file is not such a key, or the disk refuses.
    """
    files = files or Files()
    folder = home / "keys"
    path = folder / "record.key"
    try:
        make_folder(files, folder)
        _check_private(folder.lstat(), folder, stat.S_ISDIR)
        if not os.path.lexists(path):
            _create(files, path)
        return _load(files, path)
    except OSError as error:
        raise SecretUnavailable(
            f"the signing key {path} cannot be read or made: {error.strerror}",
            "look at the folder's owner, permissions and free space",
        ) from error


def _create(files: Files, path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    new = temporary(path)
    write_file(files, new, pem)
    try:
        # A link, not a rename: of two daemons that start at once the first key stays.
        with contextlib.suppress(FileExistsError):
            files.link(new, path)
    finally:
        files.unlink(new)
    sync_folder(files, path.parent)


def _load(files: Files, path: Path) -> Ed25519PrivateKey:
    fd = files.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        _check_private(os.fstat(fd), path, stat.S_ISREG)
        pem = os.read(fd, _MAX_KEY_FILE)
    finally:
        files.close(fd)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SecretUnavailable(
            f"{path} does not hold an Ed25519 key in PEM",
            "restore it from a copy, or move it away to have a new one made",
        )
    return key


def _check_private(found: os.stat_result, path: Path, is_kind: Callable[[int], bool]) -> None:
    if not is_kind(found.st_mode):
        raise SecretUnavailable(
            f"{path} is not what it should be (a link, perhaps)", "move it away and start again"
        )
    if found.st_uid != os.geteuid():
        raise SecretUnavailable(
            f"{path} belongs to another user", "give it to the user that runs the daemon"
        )
    if found.st_mode & _OTHERS:
        raise SecretUnavailable(
            f"others may read {path}, so its signatures prove nothing", f"chmod go-rwx {path}"
        )
