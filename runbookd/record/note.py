"""Signed notes (C2SP signed-note) and log checkpoints (C2SP tlog-checkpoint), with Ed25519.

A note is text that ends in a line feed, a blank line, and one or more signature lines::

    host.example/runbookd/01J8X
    42
    q0Zk3J…=

    — host.example/runbookd/01J8X Az3grl…=

The text of a checkpoint is the log's origin, the number of leaves in decimal, and the RFC 6962
root in base64. A signature line is an em dash, the key's name, and the base64 of a 4-byte key
hash followed by the Ed25519 signature over the text. A verifier key is
``name+hex(key hash)+base64(0x01 || public key)``; the key hash is the start of
SHA-256(name || LF || 0x01 || public key). Go's ``sumdb/note`` reads and writes the same.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"
_KEY_HASH_SIZE = 4
_SIGNATURE_PREFIX = "— "
_MAX_NOTE = 1_000_000
_MAX_SIGNATURES = 100
_MAX_SIZE_DIGITS = 19


class NoteError(ValueError):
    """A note, checkpoint or verifier key that is malformed."""


class BadSignature(NoteError):
    """A signature by the known key that does not hold. The note was altered, or forged."""


class NotSigned(NoteError):
    """No signature is by the known key, so the note proves nothing."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log's owner signs: the first ``size`` lines of ``origin`` have this ``root``."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{_encode(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read the text of a checkpoint as this program writes it: three lines, no extensions.

        Raises:
            NoteError: anything else, such as a size with leading zeros.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] != "":
            raise NoteError("a checkpoint has three lines: origin, size and root")
        origin, size, root = lines[:3]
        _check_name(origin)
        digits = size.isdecimal() and len(size) <= _MAX_SIZE_DIGITS
        if not digits or str(int(size)) != size:
            raise NoteError("the checkpoint's size is not a plain decimal number")
        hash_ = _decode(root)
        if len(hash_) != hashlib.sha256().digest_size:
            raise NoteError("the checkpoint's root is not a SHA-256")
        return cls(origin, int(size), hash_)


class Verifier:
    """A public key under a name."""

    def __init__(self, name: str, key: Ed25519PublicKey) -> None:
        _check_name(name)
        self.name = name
        self._key = key
        self._public = _ED25519 + key.public_bytes_raw()
        self.key_hash = _key_hash(name, self._public)

    @property
    def vkey(self) -> str:
        """The verifier key as one line of text."""
        return f"{self.name}+{self.key_hash.hex()}+{_encode(self._public)}"

    @classmethod
    def parse(cls, vkey: str) -> "Verifier":
        """Read a verifier key.

        Raises:
            NoteError: it is malformed, not Ed25519, or its key hash does not fit.
        """
        # Neither a name nor the hexadecimal hash can hold a plus sign, but base64 can.
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise NoteError("a verifier key is name+hash+key")
        name, key_hash, encoded = parts
        public = _decode(encoded)
        if public[:1] != _ED25519 or len(public) != 33:
            raise NoteError("the verifier key is not an Ed25519 key")
        verifier = cls(name, Ed25519PublicKey.from_public_bytes(public[1:]))
        if verifier.key_hash.hex() != key_hash:
            raise NoteError("the verifier key's hash does not fit its name and key")
        return verifier

    def open(self, note: str) -> str:
        """The text of ``note``, once a signature by this key is found to hold.

        Signatures by other keys are left alone: a witness may have added its own.

        Raises:
            BadSignature: a signature under this name and key hash does not hold, even beside
                another that would.
            NotSigned: there is none by this key.
            NoteError: the note is malformed.
        """
        text, signatures = _split(note)
        signed = False
        for name, key_hash, signature in signatures:
            if name != self.name or key_hash != self.key_hash:
                continue
            try:
                self._key.verify(signature, text.encode())
            except InvalidSignature:
                raise BadSignature("a signature by the log's key does not hold") from None
            signed = True
        if not signed:
            raise NotSigned("no signature is by the log's key")
        return text

    def checkpoint(self, note: str) -> Checkpoint:
        """The checkpoint in ``note``, verified. Raises like :meth:`open`."""
        return Checkpoint.parse(self.open(note))


class Signer:
    """A private key under a name: signs notes for one log."""

    def __init__(self, key: Ed25519PrivateKey, origin: str) -> None:
        self._key = key
        self.verifier = Verifier(origin, key.public_key())

    @property
    def origin(self) -> str:
        """The log's origin, which is the key's name."""
        return self.verifier.name

    def sign(self, text: str) -> str:
        """A signed note over ``text``.

        Raises:
            NoteError: the text does not end in a line feed, or holds control characters.
        """
        _check_text(text)
        blob = self.verifier.key_hash + self._key.sign(text.encode())
        return f"{text}\n{_SIGNATURE_PREFIX}{self.origin} {_encode(blob)}\n"

    def checkpoint(self, size: int, root: bytes) -> str:
        """A signed checkpoint over the first ``size`` lines."""
        return self.sign(Checkpoint(self.origin, size, root).text())


def unverified_checkpoint(note: str) -> Checkpoint:
    """The checkpoint that ``note`` claims, without looking at its signatures.

    Raises:
        NoteError: the note or the checkpoint is malformed.
    """
    return Checkpoint.parse(_split(note)[0])


def _split(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The text and the signatures (name, key hash, signature) of a note."""
    if len(note) > _MAX_NOTE:
        raise NoteError("the note is too long")
    cut = note.rfind("\n\n")
    if cut < 0:
        raise NoteError("the note has no signatures")
    text, block = note[: cut + 1], note[cut + 2 :]
    _check_text(text)
    if not block.endswith("\n"):
        raise NoteError("the note's last line is cut")
    lines = block[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise NoteError("the note has too many signatures")
    return text, [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    if not line.startswith(_SIGNATURE_PREFIX):
        raise NoteError("a signature line does not begin with an em dash")
    name, _, encoded = line[len(_SIGNATURE_PREFIX) :].partition(" ")
    _check_name(name)
    blob = _decode(encoded)
    if len(blob) <= _KEY_HASH_SIZE:
        raise NoteError("a signature line is too short")
    return name, blob[:_KEY_HASH_SIZE], blob[_KEY_HASH_SIZE:]


def _key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + public).digest()[:_KEY_HASH_SIZE]


def _check_name(name: str) -> None:
    if not name or "+" in name or any(c.isspace() or ord(c) < 0x20 for c in name):
        raise NoteError(f"{name!r} cannot name a key: it is empty or holds a space or a plus sign")
    _check_utf8(name)


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise NoteError("the text of a note ends in a line feed")
    if any(ord(char) < 0x20 and char != "\n" for char in text):
        raise NoteError("the text of a note holds no control characters")
    _check_utf8(text)


def _check_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NoteError("a lone surrogate has no UTF-8 form") from None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes:
    """Base64 in its one canonical form: two texts never stand for the same bytes."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise NoteError("not base64") from None
    if _encode(data) != text:
        raise NoteError("not base64 in its canonical form")
    return data
