"""Secrets by reference, with real files, processes and keyring back-ends."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import pytest

from runbookd.errors import InputError, SecretUnavailable
from runbookd.secrets import MAX_BYTES, SecretRef, parse_secret_ref, resolve

SECRET = "hunter2-do-not-show"


def private(path: Path, data: bytes = SECRET.encode() + b"\n", mode: int = 0o600) -> SecretRef:
    path.write_bytes(data)
    path.chmod(mode)
    return parse_secret_ref(f"file:{path}")


class Memory(keyring.backend.KeyringBackend):
    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return {("checkout", "admin/eu"): SECRET}.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


class Broken(Memory):
    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError(f"the bus is gone, the value was {SECRET}")


class Hanging(Memory):
    def get_password(self, service: str, username: str) -> str | None:
        time.sleep(3600)
        return None


@pytest.fixture
def use_keyring():
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.mark.parametrize(
    "text",
    ["keyring:checkout/admin", "env:TOKEN", "file:/run/token", "file:~/token", "exec:pass show x"],
)
def test_a_reference_reads_back_as_it_was_written(text):
    assert str(parse_secret_ref(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        "",
        "vault:x",
        "ENV:TOKEN",
        "keyring:checkout",
        "keyring:/admin",
        "keyring:checkout/",
        "env:",
        "env:A=B",
        "file:",
        "file:token",
        "file:/a\0b",
        "exec:",
        "exec:  ",
        "exec:echo 'open",
    ],
)
def test_what_is_no_reference_is_refused_without_repeating_it(text):
    with pytest.raises(InputError) as caught:
        parse_secret_ref(text)
    assert "keyring:service/name" in caught.value.hint
    if len(text) > 8:
        assert text not in str(caught.value)


async def test_a_value_is_masked_when_printed():
    found = await resolve(parse_secret_ref("env:T"), environ={"T": SECRET})
    assert found.get_secret_value() == SECRET
    assert SECRET not in repr(found)
    assert SECRET not in f"{found}"


async def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("RUNBOOKD_TEST_SECRET", SECRET)
    found = await resolve(parse_secret_ref("env:RUNBOOKD_TEST_SECRET"))
    assert found.get_secret_value() == SECRET


@pytest.mark.parametrize("environ", [{}, {"T": ""}, {"T": "\n"}])
async def test_a_missing_or_empty_variable_is_unavailable(environ):
    with pytest.raises(SecretUnavailable, match="env:T") as caught:
        await resolve(parse_secret_ref("env:T"), environ=environ)
    assert "exec:" in caught.value.hint
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"abc\n", "abc"),
        (b"abc\r\n", "abc"),
        (b"abc\n\n", "abc\n"),
        (b"abc", "abc"),
        (b"a b \n", "a b "),
        (b"abc\r", "abc\r"),
    ],
)
async def test_one_trailing_newline_is_taken_off(tmp_path, data, value):
    found = await resolve(private(tmp_path / "token", data))
    assert found.get_secret_value() == value


@pytest.mark.parametrize("mode", [0o600, 0o400])
async def test_a_private_file_is_read(tmp_path, mode):
    found = await resolve(private(tmp_path / "token", mode=mode))
    assert found.get_secret_value() == SECRET


async def test_a_home_relative_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    private(tmp_path / "token")
    assert (await resolve(parse_secret_ref("file:~/token"))).get_secret_value() == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601])
async def test_a_file_open_to_others_is_refused(tmp_path, mode):
    with pytest.raises(SecretUnavailable, match="chmod 600"):
        await resolve(private(tmp_path / "token", mode=mode))


async def test_a_symbolic_link_is_refused(tmp_path):
    private(tmp_path / "token")
    (tmp_path / "link").symlink_to(tmp_path / "token")
    with pytest.raises(SecretUnavailable, match="symbolic link"):
        await resolve(parse_secret_ref(f"file:{tmp_path}/link"))


async def test_a_file_of_another_user_is_refused(tmp_path, monkeypatch):
    ref = private(tmp_path / "token")
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path / "token").st_uid + 1)
    with pytest.raises(SecretUnavailable, match="another user"):
        await resolve(ref)


async def test_a_fifo_is_refused_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(SecretUnavailable, match="not a regular file"):
        await resolve(parse_secret_ref(f"file:{tmp_path}/fifo"), timeout_s=20)


async def test_a_folder_is_refused(tmp_path):
    (tmp_path / "folder").mkdir(mode=0o700)
    with pytest.raises(SecretUnavailable, match="not a regular file"):
        await resolve(parse_secret_ref(f"file:{tmp_path}/folder"))


async def test_a_missing_file_is_unavailable(tmp_path):
    with pytest.raises(SecretUnavailable, match="no such file"):
        await resolve(parse_secret_ref(f"file:{tmp_path}/none"))


async def test_bytes_that_are_no_text_are_refused_without_showing_them(tmp_path):
    ref = private(tmp_path / "token", SECRET.encode() + b"\xff")
    with pytest.raises(SecretUnavailable, match="not UTF-8") as caught:
        await resolve(ref)
    assert caught.value.__cause__ is None
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("extra", [0, 1])
async def test_a_value_may_be_64_kib_and_no_longer(tmp_path, extra):
    ref = private(tmp_path / "token", b"x" * (MAX_BYTES + extra))
    if extra:
        with pytest.raises(SecretUnavailable, match="longer than"):
            await resolve(ref)
    else:
        assert len((await resolve(ref)).get_secret_value()) == MAX_BYTES


def python(code: str) -> SecretRef:
    return SecretRef("exec", f"{sys.executable} -c '{code}'")


async def test_a_command_prints_the_value():
    found = await resolve(python(f'print("{SECRET}")'))
    assert found.get_secret_value() == SECRET


async def test_a_command_goes_through_no_shell(tmp_path):
    found = await resolve(parse_secret_ref(f"exec:echo $HOME ; touch {tmp_path}/made"))
    assert found.get_secret_value() == f"$HOME ; touch {tmp_path}/made"
    assert not (tmp_path / "made").exists()


async def test_a_failed_command_is_unavailable_even_when_it_printed_something():
    with pytest.raises(SecretUnavailable, match="status 3") as caught:
        await resolve(python('import sys; print(chr(115) + "ecret-text"); sys.exit(3)'))
    assert "secret-text" not in str(caught.value)


async def test_the_error_output_of_a_command_is_not_repeated():
    code = 'import sys; sys.stderr.write(chr(115) + "ecret-text"); sys.exit(1)'
    with pytest.raises(SecretUnavailable) as caught:
        await resolve(python(code))
    assert "secret-text" not in str(caught.value)


async def test_a_command_that_prints_nothing_is_unavailable():
    with pytest.raises(SecretUnavailable, match="empty"):
        await resolve(python("pass"))


async def test_a_missing_command_is_unavailable():
    with pytest.raises(SecretUnavailable, match="cannot be started"):
        await resolve(parse_secret_ref("exec:/nonexistent/pass show x"))


async def test_endless_output_of_a_command_is_cut_off():
    with pytest.raises(SecretUnavailable, match="longer than"):
        await resolve(parse_secret_ref("exec:yes"))


def running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except OSError:
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while running(pid):
            await asyncio.sleep(0.01)


CHILD = (
    "import os, subprocess, sys, time; "
    'child = subprocess.Popen(["sleep", "3600"]); '
    'open("{path}", "w").write(str(child.pid)); '
    "time.sleep(3600)"
)


async def test_a_command_that_hangs_is_ended_with_its_children(tmp_path):
    ref = python(CHILD.format(path=tmp_path / "pid"))
    with pytest.raises(SecretUnavailable, match="no answer within 2 s"):
        await resolve(ref, timeout_s=2)
    await gone(int((tmp_path / "pid").read_text()))


async def test_a_cancelled_command_is_ended_with_its_children(tmp_path):
    pid = tmp_path / "pid"
    task = asyncio.create_task(resolve(python(CHILD.format(path=pid))))
    async with asyncio.timeout(20):
        while not (pid.exists() and pid.read_text()):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(pid.read_text()))


async def test_a_keyring_entry_is_read(use_keyring):
    use_keyring(Memory())
    found = await resolve(parse_secret_ref("keyring:checkout/admin/eu"))
    assert found.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("backend", "why"),
    [
        (Memory(), "no such entry"),
        (keyring.backends.fail.Keyring(), "has no keyring"),
        (keyring.backends.null.Keyring(), "switched off"),
    ],
)
async def test_a_keyring_without_the_entry_says_what_else_is_possible(use_keyring, backend, why):
    use_keyring(backend)
    with pytest.raises(SecretUnavailable, match=why) as caught:
        await resolve(parse_secret_ref("keyring:checkout/none"))
    assert "keyring:checkout/none" in caught.value.message
    assert all(kind in caught.value.hint for kind in ("env:", "file:", "exec:"))


async def test_a_broken_keyring_is_unavailable_and_its_text_is_not_repeated(use_keyring):
    use_keyring(Broken())
    with pytest.raises(SecretUnavailable, match=r"failed \(RuntimeError\)") as caught:
        await resolve(parse_secret_ref("keyring:checkout/admin"))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_keyring_that_hangs_is_given_up_and_does_not_hold_the_process():
    code = (
        "import asyncio, time, keyring\n"
        "from tests.test_secrets import Hanging\n"
        "from runbookd.secrets import *\n"
        "keyring.set_keyring(Hanging())\n"
        "try: asyncio.run(resolve(parse_secret_ref('keyring:a/b'), timeout_s=0.2))\n"
        "except Exception as error: print(error)\n"
    )
    root = Path(__file__).parent.parent
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert "no answer within 0.2 s" in ended.stdout, ended.stderr


def test_keyring_is_imported_only_when_it_is_needed():
    code = "import sys, runbookd.secrets; print('keyring' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "False", ended.stderr
