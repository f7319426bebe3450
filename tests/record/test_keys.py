"""The signing key is private, and stays the same."""

import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from runbookd.errors import SecretUnavailable
from runbookd.record.keys import load_or_create_key

from .world import BROKEN, FULL, FaultyFiles


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    home = tmp_path / "state" / "home"
    key = load_or_create_key(home)
    assert load_or_create_key(home).private_bytes_raw() == key.private_bytes_raw()
    assert stat.S_IMODE((home / "keys" / "record.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "keys").stat().st_mode) == 0o700
    assert os.listdir(home / "keys") == ["record.key"]


def test_daemons_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    keys: list[bytes] = []
    barrier = threading.Barrier(8)

    def run() -> None:
        barrier.wait()
        keys.append(load_or_create_key(tmp_path).private_bytes_raw())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    load_or_create_key(tmp_path)
    (tmp_path / "keys" / "record.key").chmod(mode)
    with pytest.raises(SecretUnavailable, match="others may read"):
        load_or_create_key(tmp_path)


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path)
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(SecretUnavailable, match="others may read"):
        load_or_create_key(tmp_path)


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_or_create_key(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SecretUnavailable, match="another user"):
        load_or_create_key(tmp_path)


def test_a_link_in_the_place_of_the_key_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path / "a")
    load_or_create_key(tmp_path / "b")
    path = tmp_path / "a" / "keys" / "record.key"
    path.unlink()
    path.symlink_to(tmp_path / "b" / "keys" / "record.key")
    with pytest.raises(SecretUnavailable):
        load_or_create_key(tmp_path / "a")
    path.unlink()
    path.mkdir()
    with pytest.raises(SecretUnavailable):
        load_or_create_key(tmp_path / "a")


def test_a_folder_of_keys_that_is_a_link_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "keys").symlink_to(tmp_path / "b" / "keys")
    with pytest.raises(SecretUnavailable, match="not what it should be"):
        load_or_create_key(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"not a key", b"\xff\xfe", b"A" * 100_000])
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    load_or_create_key(tmp_path)
    path = tmp_path / "keys" / "record.key"
    path.write_bytes(content)
    with pytest.raises(SecretUnavailable, match="does not hold"):
        load_or_create_key(tmp_path)
    assert path.read_bytes() == content


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path)
    pem = X25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (tmp_path / "keys" / "record.key").write_bytes(pem)
    with pytest.raises(SecretUnavailable, match="does not hold"):
        load_or_create_key(tmp_path)


@pytest.mark.parametrize(
    ("call", "code"), [("write", FULL), ("fsync", BROKEN), ("link", BROKEN), ("open", FULL)]
)
def test_a_disk_that_refuses_leaves_no_half_key(tmp_path: Path, call: str, code: int) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    files = FaultyFiles()
    files.fail[call] = [code]
    with pytest.raises(SecretUnavailable, match="cannot be read or made"):
        load_or_create_key(tmp_path, files)
    assert os.listdir(tmp_path / "keys") == []
    assert isinstance(load_or_create_key(tmp_path), Ed25519PrivateKey)
