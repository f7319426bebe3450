"""A kernel inherits nothing but what is named."""

from pathlib import Path

import pytest

from runbookd.errors import KernelUnavailable
from runbookd.kernels.environment import kernel_environment, open_log, prepare_scratch

SCRATCH = Path("/scratch")


def test_only_harmless_variables_are_inherited() -> None:
    daemon = {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "LC_TIME": "C",
        "TZ": "UTC",
        "TERM": "xterm",
        "HOME": "/root",
        "AWS_SECRET_ACCESS_KEY": "s",
        "RUNBOOKD_SLACK__BOT_TOKEN": "s",
        "PYTHONSTARTUP": "/x",
        "LD_PRELOAD": "/x",
        "SSH_AUTH_SOCK": "/x",
    }
    env = kernel_environment(daemon, SCRATCH, {}, {})
    inherited = {name: value for name, value in env.items() if daemon.get(name) == value}
    assert set(inherited) == {"PATH", "LANG", "LC_TIME", "TZ"}
    assert env["TERM"] == "dumb"
    assert "/root" not in str(env)


def test_a_kernelspec_cannot_pull_in_the_daemon_s_variables() -> None:
    env = kernel_environment(
        {"TOKEN": "s", "PATH": "/bin"}, SCRATCH, {"A": "${TOKEN}", "B": "/x:${PATH}"}, {}
    )
    assert env["A"] == "${TOKEN}"
    assert env["B"] == "/x:/bin"


def test_every_folder_is_in_scratch_whatever_is_given() -> None:
    folders = {"HOME", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "XDG_CONFIG_HOME"}
    moved = dict.fromkeys(folders, "/elsewhere")
    env = kernel_environment({}, SCRATCH, moved, moved)
    assert all(env[name].startswith("/scratch/") for name in folders)


def test_what_is_given_wins_over_the_kernelspec() -> None:
    assert kernel_environment({}, SCRATCH, {"A": "1"}, {"A": "2"})["A"] == "2"


def test_scratch_is_private(tmp_path: Path) -> None:
    scratch = tmp_path / "a" / "s"
    scratch.mkdir(parents=True, mode=0o755)
    prepare_scratch(scratch)
    assert scratch.stat().st_mode & 0o777 == 0o700
    assert (scratch / "home").is_dir()


def test_a_scratch_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KernelUnavailable, match="cannot be made"):
        prepare_scratch(tmp_path / "file" / "s")


def test_the_log_never_follows_a_link_that_a_kernel_left(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / "k1.log").symlink_to(victim)
    with pytest.raises(KernelUnavailable):
        open_log(tmp_path, "k1")
    assert not victim.exists()


def test_the_log_is_never_a_file_that_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "k1.log").write_text("planted")
    with pytest.raises(KernelUnavailable):
        open_log(tmp_path, "k1")
