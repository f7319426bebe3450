import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from runbookd.errors import KernelUnavailable
from runbookd.kernels.sandbox import landlock, walls
from runbookd.kernels.sandbox.walls import Walls, grants, installations


def granted(built: Walls, *, right: int = landlock.READ_FILE) -> set[Path]:
    return {grant.path for grant in grants(built, ()) if grant.rights & right}


def tree(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("")


def test_home_folders_are_not_readable() -> None:
    paths = granted(Walls())
    for folder in (
        Path("/"),
        Path("/home"),
        Path("/root"),
        Path.home(),
        Path("/run"),
        Path("/tmp"),
    ):
        assert folder not in paths


def test_system_folders_are_readable() -> None:
    assert {Path("/usr"), Path("/proc")} <= granted(Walls())


def test_nothing_is_writable_but_devices_that_keep_nothing() -> None:
    assert granted(Walls(), right=landlock.WRITE_FILE) == {
        Path(f"/dev/{name}").resolve()
        for name in ("null", "zero", "full", "random", "urandom", "ptmx")
    }


def test_scratch_may_hold_anything_but_devices_and_sockets(tmp_path: Path) -> None:
    [scratch] = [grant for grant in grants(Walls(scratch=tmp_path), ()) if grant.path == tmp_path]
    block_and_character_devices = 1 << 6 | 1 << 11
    assert scratch.rights & landlock.WRITE == landlock.WRITE
    assert not scratch.rights & (landlock.MAKE_SOCK | block_and_character_devices)


def test_a_folder_with_a_hidden_part_is_granted_in_parts(tmp_path: Path) -> None:
    tree(tmp_path, "a/1", "a/b/secret/key", "a/b/2", "c/3")
    paths = granted(Walls(readable=(tmp_path,), hidden=(tmp_path / "a/b/secret",)))
    below = {str(path.relative_to(tmp_path)) for path in paths if tmp_path in path.parents}
    assert below == {"a/1", "a/b/2", "c"}
    assert tmp_path not in paths


def test_a_hidden_path_that_does_not_exist_yet_stays_hidden(tmp_path: Path) -> None:
    tree(tmp_path, "a/1")
    paths = granted(Walls(readable=(tmp_path,), hidden=(tmp_path / "a/later",)))
    assert tmp_path / "a/1" in paths
    assert not {tmp_path, tmp_path / "a", tmp_path / "a/later"} & paths


def test_a_link_to_what_is_hidden_opens_nothing(tmp_path: Path) -> None:
    tree(tmp_path, "secret/key", "open/1")
    (tmp_path / "open/link").symlink_to(tmp_path / "secret")
    (tmp_path / "open/hidden").mkdir()
    paths = granted(
        Walls(readable=(tmp_path / "open",), hidden=(tmp_path / "secret", tmp_path / "open/hidden"))
    )
    assert not any(path == tmp_path / "secret" or path.name == "link" for path in paths)


def test_a_hidden_path_is_hidden_by_whatever_name_it_is_given(tmp_path: Path) -> None:
    tree(tmp_path, "real/key", "other")
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    paths = granted(Walls(readable=(tmp_path,), hidden=(tmp_path / "alias",)))
    assert tmp_path / "other" in paths
    assert tmp_path / "real" not in paths


@pytest.mark.parametrize("place", ["", "inside"])
@pytest.mark.parametrize("kind", ["readable", "writable"])
def test_nobody_is_let_into_a_hidden_folder_by_mistake(
    tmp_path: Path, kind: str, place: str
) -> None:
    (tmp_path / "inside").mkdir()
    built = Walls.model_validate({kind: (tmp_path / place,), "hidden": (tmp_path,)})
    with pytest.raises(KernelUnavailable, match="lies in a hidden folder"):
        grants(built, ())


def test_a_way_round_by_a_link_into_a_hidden_folder_is_seen(tmp_path: Path) -> None:
    tree(tmp_path, "home/sessions/1")
    (tmp_path / "innocent").symlink_to(tmp_path / "home/sessions")
    with pytest.raises(KernelUnavailable, match="lies in a hidden folder"):
        grants(Walls(writable=(tmp_path / "innocent",), hidden=(tmp_path / "home",)), ())


def test_only_scratch_may_lie_in_a_hidden_folder(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    paths = granted(Walls(scratch=tmp_path / "scratch", hidden=(tmp_path,)))
    assert {path for path in paths if tmp_path in (path, *path.parents)} == {tmp_path / "scratch"}


def test_what_is_writable_must_not_contain_what_is_hidden(tmp_path: Path) -> None:
    with pytest.raises(KernelUnavailable, match="contains a hidden path"):
        grants(Walls(writable=(tmp_path,), hidden=(tmp_path / "home",)), ())


def test_what_is_to_be_writable_must_exist(tmp_path: Path) -> None:
    with pytest.raises(KernelUnavailable, match="does not exist; create it"):
        grants(Walls(scratch=tmp_path / "nowhere"), ())


def test_a_hidden_system_folder_is_not_granted() -> None:
    paths = granted(Walls(hidden=(Path("/var/log"), Path("/opt"))))
    assert not {Path("/var/log"), Path("/opt")} & paths


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user cannot read them anyway")
def test_a_daemon_run_by_root_shows_no_more_of_etc_than_others_may_read() -> None:
    paths = granted(Walls())
    assert Path("/etc/passwd") in paths
    assert not {Path("/etc"), Path("/etc/shadow"), Path("/sys/kernel/debug")} & paths


def test_a_virtual_environment_brings_what_it_is_made_of(tmp_path: Path) -> None:
    tree(tmp_path, "base/bin/python", "base/lib/python3.11/os.py", "venv/pyvenv.cfg")
    (tmp_path / "venv/bin").mkdir()
    (tmp_path / "venv/bin/python").symlink_to(tmp_path / "base/bin/python")
    needed = installations([tmp_path / "venv/bin/python"])
    assert {tmp_path / "venv", tmp_path / "base"} <= set(needed)


def test_a_single_program_brings_only_itself(tmp_path: Path) -> None:
    tree(tmp_path, "bin/tool", "notes")
    needed = installations([tmp_path / "bin/tool"])
    assert tmp_path / "bin/tool" in needed
    assert tmp_path not in needed


@pytest.mark.parametrize("prefix", ["", ".local"])
def test_a_python_in_the_home_does_not_open_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    root = tmp_path / prefix
    tree(root, "bin/python", "lib/python3.11/os.py")
    needed = installations([root / "bin/python"])
    assert root / "bin/python" in needed
    assert root not in needed


def test_a_shell_in_slash_bin_does_not_open_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/var/lib/nobody")
    assert Path("/") not in installations([Path("/bin/sh"), Path("/bin/python3")])


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::FFFF:10.1.2.3", "10.1.2.3"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_endpoints_have_one_spelling(given: str, plain: str) -> None:
    assert Walls(connect=((given, 443),)).connect == ((plain, 443),)


@pytest.mark.parametrize("endpoint", [("localhost", 80), ("127.0.0.1", 0), ("127.0.0.1", 65536)])
def test_an_endpoint_is_a_numeric_address_and_a_port(endpoint: tuple[str, int]) -> None:
    with pytest.raises(ValidationError):
        Walls(connect=(endpoint,))


def test_the_port_that_means_any_cannot_be_granted() -> None:
    with pytest.raises(ValidationError):
        Walls(bind=(0,))


def test_a_path_that_became_a_link_since_is_not_granted(tmp_path: Path) -> None:
    tree(tmp_path, "secret/key")
    (tmp_path / "swapped").symlink_to(tmp_path / "secret")
    with pytest.MonkeyPatch.context() as patch:
        added: list[object] = []
        patch.setattr(landlock, "syscall", lambda *arguments: added.append(arguments))
        landlock._add_path(-1, landlock.Grant(tmp_path / "swapped", landlock.READ))
    assert added == []


def test_programs_are_looked_for_on_the_path_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    assert walls.find_program("tool", str(tmp_path)) == tmp_path / "tool"
    with pytest.raises(KernelUnavailable, match="there is no program tool"):
        walls.find_program("tool", "/nowhere")
