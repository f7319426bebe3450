import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from runbookd.kernels.sandbox import (
    LandlockSandbox,
    NoSandbox,
    attacker,
    landlock,
    probe,
    victim,
)
from runbookd.kernels.sandbox import probe as _probe_function
from runbookd.kernels.sandbox.syscalls import this_machine

probe_module = sys.modules[_probe_function.__module__]


def test_this_machine_is_proved_to_hold(sandbox: LandlockSandbox) -> None:
    found, report = probe()
    assert report.why == ""
    assert (report.level, found.level) == ("process", "process")
    assert report.backend == found.backend == "landlock+seccomp"
    assert report.kernel == os.uname().release
    assert len(report.rows) > 100
    assert all(row.denied for row in report.rows)


def test_the_proof_does_not_make_a_start_slow(sandbox: LandlockSandbox) -> None:
    best = 60.0
    for _ in range(3):
        began = time.monotonic()
        probe()
        best = min(best, time.monotonic() - began)
    assert best < 1.0


def test_the_proof_leaves_nothing_behind(
    sandbox: LandlockSandbox,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path_factory.mktemp("t")
    assert len(str(folder)) <= victim._LONGEST_FOLDER
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    probe()
    descriptors = len(os.listdir("/proc/self/fd"))
    _, report = probe()
    assert report.level == "process"
    assert list(folder.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_long_name_of_the_temporary_folder_is_no_obstacle(
    sandbox: LandlockSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert probe()[1].why == ""


def test_a_machine_that_nobody_knows_has_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "this_machine", lambda: None)
    found, report = probe()
    assert isinstance(found, NoSandbox)
    assert (report.level, report.backend) == ("none", "none")
    assert "no sandbox is known for" in report.why


@pytest.mark.parametrize(("version", "why"), [(0, "has no Landlock"), (5, "Linux 6.12")])
def test_a_kernel_that_is_too_old_has_no_sandbox(
    sandbox: LandlockSandbox, monkeypatch: pytest.MonkeyPatch, version: int, why: str
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: version)
    found, report = probe()
    assert isinstance(found, NoSandbox)
    assert report.level == "none"
    assert why in report.why


def test_an_attack_that_succeeds_means_no_sandbox_and_is_named(
    sandbox: LandlockSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_module, "LandlockSandbox", lambda *_: NoSandbox())
    found, report = probe()
    assert isinstance(found, NoSandbox)
    assert report.level == "none"
    assert "not denied: " in report.why
    assert not {row.attack: row.denied for row in report.rows}["signal"]


def test_a_sandbox_in_which_nothing_works_is_not_a_pass(
    sandbox: LandlockSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unconnected(victim.Victim):
        def __enter__(self) -> "Unconnected":
            super().__enter__()
            self.walls = self.walls.model_copy(update={"connect": ()})
            return self

    monkeypatch.setattr(probe_module, "Victim", Unconnected)
    found, report = probe()
    assert isinstance(found, NoSandbox)
    assert all(row.denied for row in report.rows)
    assert report.why.startswith("does not work inside: control-endpoint, ")


def test_an_attacker_that_says_nothing_is_not_a_pass(
    sandbox: LandlockSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "attacker.py").write_text("raise SystemExit('lost courage')")
    monkeypatch.setattr(attacker, "__file__", str(tmp_path / "attacker.py"))
    found, report = probe()
    assert isinstance(found, NoSandbox)
    assert report.why == "the attacker failed: lost courage"
    assert not any(row.denied for row in report.rows)


def test_an_attack_that_was_never_tried_was_not_denied(sandbox: LandlockSandbox) -> None:
    with victim.Victim() as ours:
        rows, broken = ours.judge({})
    assert not any(row.denied for row in rows)
    assert "control-scratch" in broken
    assert "control-endpoint-reached" in broken


def test_a_secret_in_what_the_attacker_says_was_not_denied(sandbox: LandlockSandbox) -> None:
    with victim.Victim() as ours:
        said = {"read-hidden": f"denied: but it is {ours._secret}", "read-undeclared": "denied"}
        rows = {row.attack: row.denied for row in ours.judge(said)[0]}
    assert not rows["read-hidden"]
    assert rows["read-undeclared"]


def test_an_interpreter_that_is_not_there_means_no_sandbox(sandbox: LandlockSandbox) -> None:
    found, report = probe(Path("/nowhere/python"))
    assert isinstance(found, NoSandbox)
    assert report.why.startswith("the self-test could not be run: ")


def test_this_machines_numbers_are_known() -> None:
    if os.uname().machine in ("x86_64", "aarch64"):
        assert this_machine() is not None
