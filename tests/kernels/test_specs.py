"""Kernelspecs: always Python, what Jupyter knows besides, and digests that tell them apart."""

import json
import sys
from pathlib import Path

import pytest

from runbookd.errors import KernelUnavailable
from runbookd.kernels.specs import find_kernelspec, kernelspec_digest, kernelspec_names

from .conftest import KernelspecFolder


def test_python3_is_the_interpreter_that_runs_runbookd(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    spec = find_kernelspec("python3")
    assert spec.argv[:3] == (sys.executable, "-m", "ipykernel_launcher")
    assert spec.language == "python"
    assert "python3" in kernelspec_names()


def test_a_python3_that_somebody_installed_does_not_take_its_place(
    kernelspec: KernelspecFolder,
) -> None:
    kernelspec("python3", ["/tmp/evil"])
    assert find_kernelspec("python3").argv[0] == sys.executable


def test_other_kernels_are_found_as_jupyter_finds_them(kernelspec: KernelspecFolder) -> None:
    kernelspec("mine", ["/bin/sh", "{resource_dir}/x"])
    spec = find_kernelspec("mine")
    assert spec.argv == ("/bin/sh", "{resource_dir}/x", "-f", "{connection_file}")
    assert spec.interrupt_mode == "signal"
    assert "mine" in kernelspec_names()


@pytest.mark.parametrize("name", ["condadev", "../../etc", "", "a/b", "é"])
def test_an_unknown_kernel_names_those_that_are_there(name: str) -> None:
    with pytest.raises(KernelUnavailable, match="python3"):
        find_kernelspec(name)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"argv": []}', '{"argv": ["x"]}', '{"argv": 5}']
)
def test_a_broken_kernelspec_is_refused(
    kernelspec: KernelspecFolder, tmp_path: Path, text: str
) -> None:
    kernelspec("broken", ["x"])
    (tmp_path / "jupyter/kernels/broken/kernel.json").write_text(text)
    with pytest.raises(KernelUnavailable, match="cannot be read"):
        find_kernelspec("broken")


def test_the_digest_changes_with_what_would_run(
    kernelspec: KernelspecFolder, tmp_path: Path
) -> None:
    kernelspec("mine", ["/bin/sh"])
    file = tmp_path / "jupyter/kernels/mine/kernel.json"
    spec = json.loads(file.read_text())
    seen = {kernelspec_digest("mine"), kernelspec_digest("python3")}
    for change in (
        {"argv": ["/bin/sh", "-x", "{connection_file}"]},
        {"env": {"PATH": "/evil"}},
        {"language": "bash"},
        {"interrupt_mode": "message"},
    ):
        file.write_text(json.dumps({**spec, **change}))
        seen.add(kernelspec_digest("mine"))
    assert len(seen) == 6
    file.write_text(json.dumps(spec))
    assert kernelspec_digest("mine") in seen


def test_the_digest_follows_the_interpreter_s_link(
    kernelspec: KernelspecFolder, tmp_path: Path
) -> None:
    link = tmp_path / "interpreter"
    link.symlink_to("/bin/sh")
    kernelspec("mine", [str(link)])
    before = kernelspec_digest("mine")
    link.unlink()
    link.symlink_to("/bin/cat")
    assert kernelspec_digest("mine") != before
