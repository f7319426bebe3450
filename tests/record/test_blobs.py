"""Blobs are their digest's bytes, or they are not there."""

import hashlib
import os
from pathlib import Path

import pytest

from runbookd.errors import RecordError, RecordUnwritable
from runbookd.record.blobs import BlobStore, file_digest

from .world import BROKEN, FULL, FaultyFiles


async def test_a_blob_comes_back_by_its_digest(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = await store.put(b"output")
    assert digest == hashlib.sha256(b"output").hexdigest()
    assert store.get(digest) == b"output"
    assert (tmp_path / "blobs" / "sha256" / digest).read_bytes() == b"output"
    assert await store.put(b"output") == digest
    assert os.listdir(store.folder) == [digest]


async def test_an_altered_blob_is_not_returned_and_put_heals_it(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = await store.put(b"output")
    store.path(digest).write_bytes(b"0utput")
    with pytest.raises(RecordError, match="altered"):
        store.get(digest)
    await store.put(b"output")
    assert store.get(digest) == b"output"


def test_a_missing_blob_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        BlobStore(tmp_path).get("0" * 64)


@pytest.mark.parametrize("digest", ["", "../../checkpoint", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_digest_names_a_blob(tmp_path: Path, digest: str) -> None:
    with pytest.raises(RecordError, match="not a SHA-256"):
        BlobStore(tmp_path).path(digest)


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
async def test_a_disk_that_refuses_leaves_no_partial_blob(tmp_path: Path, call: str) -> None:
    files = FaultyFiles()
    store = BlobStore(tmp_path, files)
    await store.put(b"first")
    before = os.listdir(store.folder)
    files.fail[call] = [BROKEN]
    with pytest.raises(RecordUnwritable, match="cannot be stored"):
        await store.put(b"second")
    assert os.listdir(store.folder) == before
    await store.put(b"second")


async def test_a_full_disk_in_the_middle_of_a_blob_is_an_error(tmp_path: Path) -> None:
    files = FaultyFiles()
    files.short = 3
    files.fail["write"] = [0, FULL]
    with pytest.raises(RecordUnwritable):
        await BlobStore(tmp_path, files).put(b"longer than three")
    assert os.listdir(tmp_path / "blobs" / "sha256") == []


async def test_a_write_in_pieces_is_one_blob(tmp_path: Path) -> None:
    files = FaultyFiles()
    files.short = 3
    store = BlobStore(tmp_path, files)
    assert store.get(await store.put(b"longer than three")) == b"longer than three"


async def test_blob_and_folder_are_synced_before_put_returns(tmp_path: Path) -> None:
    files = FaultyFiles()
    await BlobStore(tmp_path, files).put(b"x")
    after_write = files.calls[files.calls.index("write") :]
    assert after_write == ["write", "fsync", "rename", "open", "fsync"]


async def test_a_link_is_never_followed_as_a_blob(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = await store.put(b"secret elsewhere")
    link = tmp_path / "link"
    link.symlink_to(store.path(digest))
    with pytest.raises(OSError, match="symbolic"):
        file_digest(link)
