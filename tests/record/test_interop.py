"""A stranger checks the record with what every system has: sha256sum and openssl."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .world import whole_session


@pytest.mark.parametrize("tool", ["sha256sum", "openssl", "sed", "tr"])
def test_the_tools_are_here(tool: str) -> None:
    """These tests must not pass by not running."""
    assert shutil.which(tool)


async def test_sha256sum_computes_each_leaf_hash(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    await whole_session(tmp_path, key)
    lines = (tmp_path / "record.jsonl").read_bytes().splitlines()
    for number in range(1, len(lines)):
        script = rf"(printf '\0'; sed -n {number}p record.jsonl | tr -d '\n') | sha256sum"
        found = subprocess.run(
            ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert found.stdout.split()[0] == json.loads(lines[number])["prev"]


async def test_sha256sum_checks_the_blobs(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    await whole_session(tmp_path, key)
    script = 'cd blobs/sha256 && for f in *; do echo "$f  $f"; done | sha256sum -c --strict'
    subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, check=True)


def split(signed: str) -> tuple[bytes, bytes]:
    text, _, signature = signed.partition("\n\n")
    return f"{text}\n".encode(), base64.b64decode(signature.split(" ")[2])[4:]


@pytest.mark.parametrize("altered", [False, True])
async def test_openssl_verifies_the_checkpoint(
    tmp_path: Path, key: Ed25519PrivateKey, altered: bool
) -> None:
    await whole_session(tmp_path, key)
    text, signature = split((tmp_path / "checkpoint").read_text())
    public = base64.b64decode((tmp_path / "record.vkey").read_text().strip().split("+", 2)[2])[1:]
    pem = Ed25519PublicKey.from_public_bytes(public).public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "text").write_bytes(text.replace(b"\n15\n", b"\n14\n") if altered else text)
    (tmp_path / "sig").write_bytes(signature)
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in text -sigfile sig"
    found = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True)
    assert (found.returncode == 0) is not altered, found.stderr


async def test_sha256sum_computes_the_root_that_is_signed(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    """The tree of two lines by hand, as the first checkpoint signs it."""
    await whole_session(tmp_path, key)
    script = r"""
    leaf() { (printf '\0'; sed -n "$1"p record.jsonl | tr -d '\n') | openssl dgst -sha256 -binary; }
    (printf '\1'; leaf 1; leaf 2) | openssl dgst -sha256 -binary | openssl base64
    """
    found = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = (tmp_path / "record.jsonl").read_text().splitlines()
    assert json.loads(lines[2])["data"]["note"].splitlines()[2] == found.stdout.strip()
