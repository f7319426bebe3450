"""The command line: in this process where it needs no daemon, and as a real process."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from runbookd.cli.main import main
from tests.daemon.served import environment


@dataclass
class Done:
    """How a command ended, and what it said where."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that an error is told in."""
        assert self.err.startswith("runbookd: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n")
        assert "Traceback" not in self.err
        assert "should not have happened" not in self.err
        return self.err.removeprefix("runbookd: ").strip()


Cli = Callable[..., Done]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with runbooks and policies; the home is made when it is needed."""
    for name in ("runbooks", "policies"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def cli(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """Runs a command in this process. A daemon that it started is ended with the test."""
    for name in [name for name in os.environ if name.startswith("RUNBOOKD_")]:
        monkeypatch.delenv(name)
    for name, value in environment(place / "home", place, {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["runbookd", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        assert isinstance(left.value.code, int)
        return Done(left.value.code, out, err)

    yield run
    end_daemon(place / "home")


def end_daemon(home: Path) -> None:
    lock = home / "daemon.lock"
    text = lock.read_text().strip() if lock.exists() else ""
    if text:
        process = psutil.Process(int(text))
        process.terminate()
        process.wait(30)


def process(
    place: Path, *arguments: str, env: dict[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Runs a command as a process of its own."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "runbookd", *arguments],
        env=env if env is not None else environment(place / "home", place, {}),
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        **{"cwd": place, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
