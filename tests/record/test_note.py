"""Notes are C2SP's and Go's, and a forged one never opens."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.record.note import (
    BadSignature,
    Checkpoint,
    NoteError,
    NotSigned,
    Signer,
    Verifier,
    unverified_checkpoint,
)

from .world import LOG

# The keys and the note in the documentation of Go's golang.org/x/mod/sumdb/note.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = "YEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_NOTE = (
    f"{GO_TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2p"
    "ZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_note_of_go_opens() -> None:
    assert Verifier.parse(GO_VKEY).open(GO_NOTE) == GO_TEXT


def test_the_same_key_signs_the_same_note_as_go() -> None:
    seed = base64.b64decode(f"A{GO_SEED}")[1:]
    signer = Signer(Ed25519PrivateKey.from_private_bytes(seed), "PeterNeumann")
    assert signer.verifier.vkey == GO_VKEY
    assert signer.sign(GO_TEXT) == GO_NOTE


def test_a_checkpoint_comes_back(key: Ed25519PrivateKey) -> None:
    signer = Signer(key, LOG)
    signed = signer.checkpoint(42, bytes(32))
    assert signed.startswith(f"{LOG}\n42\n{'A' * 43}=\n\n— {LOG} ")
    assert Verifier.parse(signer.verifier.vkey).checkpoint(signed) == Checkpoint(LOG, 42, bytes(32))
    assert unverified_checkpoint(signed).size == 42


def test_an_altered_note_does_not_open(key: Ed25519PrivateKey) -> None:
    signer = Signer(key, LOG)
    with pytest.raises(BadSignature):
        signer.verifier.open(signer.checkpoint(42, bytes(32)).replace("\n42\n", "\n41\n"))


def test_a_note_by_another_key_alone_is_not_signed(
    key: Ed25519PrivateKey, other_key: Ed25519PrivateKey
) -> None:
    signed = Signer(other_key, LOG).checkpoint(1, bytes(32))
    with pytest.raises(NotSigned):
        Signer(key, LOG).verifier.open(signed)


def test_a_witness_may_sign_beside_us(key: Ed25519PrivateKey, other_key: Ed25519PrivateKey) -> None:
    ours = Signer(key, LOG).checkpoint(1, bytes(32))
    witness = Signer(other_key, "witness.example").checkpoint(1, bytes(32))
    text = Checkpoint(LOG, 1, bytes(32)).text()
    theirs = Signer(other_key, "witness.example").sign(text).splitlines(keepends=True)[-1]
    assert Signer(key, LOG).verifier.open(ours + theirs) == text
    assert Signer(key, LOG).verifier.open(ours[: len(text) + 1] + theirs + ours[len(text) + 1 :])
    assert witness != ours


def test_a_bad_signature_by_our_key_fails_beside_good_ones(
    key: Ed25519PrivateKey, other_key: Ed25519PrivateKey
) -> None:
    signer = Signer(key, LOG)
    ours = signer.checkpoint(1, bytes(32))
    forged = signer.checkpoint(2, bytes(32)).splitlines(keepends=True)[-1]
    with pytest.raises(BadSignature):
        signer.verifier.open(ours + forged)
    unknown = Signer(other_key, LOG).checkpoint(1, bytes(32))
    with pytest.raises(BadSignature):
        signer.verifier.open(unknown + forged)


def test_a_key_hash_alone_does_not_make_a_signature_ours(key: Ed25519PrivateKey) -> None:
    signer = Signer(key, LOG)
    ours = signer.checkpoint(1, bytes(32))
    forged = signer.checkpoint(2, bytes(32)).splitlines(keepends=True)[-1]
    assert signer.verifier.checkpoint(ours + forged.replace(LOG, "other.example")).size == 1


def test_a_key_of_another_algorithm_is_refused() -> None:
    public = b"\x02" + bytes(32)
    key_hash = hashlib.sha256(b"name\n" + public).hexdigest()[:8]
    with pytest.raises(NoteError, match="not an Ed25519 key"):
        Verifier.parse(f"name+{key_hash}+{base64.b64encode(public).decode()}")


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+c74f20a3",
        GO_VKEY.replace("c74f20a3", "c74f20a4"),
        GO_VKEY.replace("c74f20a3", "C74F20A3"),
        GO_VKEY.replace("PeterNeumann", "Peter Neumann"),
        GO_VKEY.replace("ARpc", "AhpC"),
        GO_VKEY + "=",
        GO_VKEY[:-4],
    ],
)
def test_a_malformed_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        Verifier.parse(vkey)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{LOG}\n1\n",
        f"{LOG}\n01\n{'A' * 43}=\n",
        f"{LOG}\n-1\n{'A' * 43}=\n",
        f"{LOG}\n١\n{'A' * 43}=\n",
        f"{LOG}\n1\n{'A' * 42}B=\n",
        f"{LOG}\n1\nAAAA\n",
        f"{LOG}\n1\n{'A' * 43}=\nextension\n",
        f"{LOG}\n1\n{'A' * 43}=",
        f"{LOG}\n1\n{'A' * 43}=\nx",
        f"\n1\n{'A' * 43}=\n",
        f"{LOG}\n99999999999999999999\n{'A' * 43}=\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


def test_a_checkpoint_with_non_canonical_base64_is_refused() -> None:
    # The last digit carries two bits that count for nothing: "B" would decode like "A".
    with pytest.raises(NoteError):
        Checkpoint.parse(f"{LOG}\n1\n{'A' * 42}B=\n")


@pytest.mark.parametrize(
    ("mangle", "why"),
    [
        (lambda note: note.rstrip("\n"), "last line is cut"),
        (lambda note: note.replace("— ", "- "), "em dash"),
        (lambda note: note.replace("\n\n", "\n"), "no signatures"),
        (lambda note: note + "\n", "last line is cut|em dash"),
        (lambda note: note.replace("\n", "\r\n"), "no signatures"),
        (lambda note: note + "— x\n", "too short"),
        (lambda note: note + "— x AAAA\n", "too short"),
        (lambda note: note + "— x AAAAAAAA\n" * 101, "too many"),
        (lambda note: "\x00" + note, "control characters"),
        (lambda note: "\ud800" + note, "surrogate"),
        (lambda note: "x" * 1_000_001 + note, "too long"),
    ],
)
def test_a_malformed_note_is_refused(key: Ed25519PrivateKey, mangle: object, why: str) -> None:
    assert callable(mangle)
    signer = Signer(key, LOG)
    with pytest.raises(NoteError, match=why):
        signer.verifier.open(mangle(signer.checkpoint(1, bytes(32))))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\x01b", "a\u2003b", "a\ud800"])
def test_a_name_that_go_refuses_names_no_key(key: Ed25519PrivateKey, name: str) -> None:
    with pytest.raises(NoteError):
        Signer(key, name)


@pytest.mark.parametrize("text", ["no line feed", "a tab\t\n", "nul\0\n", "\ud800\n", ""])
def test_text_that_go_refuses_is_not_signed(key: Ed25519PrivateKey, text: str) -> None:
    with pytest.raises(NoteError):
        Signer(key, LOG).sign(text)
