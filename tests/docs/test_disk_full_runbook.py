"""The runbook that authors are shown: walked up to its gate, and its one change tried out."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from runbookd.runbook.notebook import Runbook, plan, read_runbook

from .test_docs import end_daemon

RUNBOOK = Path(__file__).parents[2] / "runbooks" / "disk-full.ipynb"


@pytest.fixture(scope="module")
def runbook() -> Runbook:
    return read_runbook(RUNBOOK)


def source(runbook: Runbook, cell: str) -> str:
    return next(each.source for each in runbook.cells if each.id == cell)


def test_it_is_a_valid_notebook_without_outputs() -> None:
    notebook = json.loads(RUNBOOK.read_text(encoding="utf-8"))
    nbformat.validate(nbformat.from_dict(notebook))
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert all(len(line) < 80 for line in "".join(cell["source"]).splitlines())


def test_it_reads_three_times_before_it_asks_for_its_one_change(runbook: Runbook) -> None:
    modes = [(step.id, step.mode) for step in plan(runbook)]
    assert modes == [
        ("usage", "read-only"),
        ("biggest", "read-only"),
        ("candidates", "read-only"),
        ("remove", "gated"),
        ("after", "read-only"),
        ("why", "manual"),
    ]
    assert runbook.connectors == ()


# ---- through the real daemon, up to the gate ---------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with an old and a new archive and an old log, and a home beside it."""
    folder = tmp_path / "data"
    (folder / "app").mkdir(parents=True)
    long_ago = time.time() - 30 * 86400
    for name in ("app/old.gz", "app/new.gz", "app/old.log"):
        (folder / name).write_bytes(b"x" * 5000)
        if "old" in name:
            os.utime(folder / name, (long_ago, long_ago))
    (tmp_path / "policies").mkdir()
    try:
        yield folder
    finally:
        for lock in tmp_path.rglob("daemon.lock"):
            end_daemon(lock)


def walk(folder: Path, policy: str) -> tuple[int, list[dict[str, Any]]]:
    """Walk the runbook over ``folder`` without a screen: the exit code and the recorded lines."""
    root = folder.parent
    (root / "policies" / "policy.yaml").write_text(f"version: 1\n{policy}", encoding="utf-8")
    command = ["run", str(RUNBOOK), "--json", "--approval-timeout", "0", "-p", f"folder={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "runbookd", *command],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(root / "user"),
            "RUNBOOKD_HOME": str(root / "state"),
            "RUNBOOKD_POLICIES": str(root / "policies"),
            "RUNBOOKD_IDLE_EXIT_S": "60",
        },
        capture_output=True,
        text=True,
        timeout=90,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_walk_stops_at_the_gate_with_the_exact_list_frozen(place: Path) -> None:
    code, lines = walk(place, f'lanes: {{read-only: {{readable: ["{place}"]}}}}\n')
    assert code == 3
    ended = [(each["cell"], each["data"]["status"]) for each in lines if _is(each, "cell.finished")]
    assert ended == [("usage", "ok"), ("biggest", "ok"), ("candidates", "ok")]
    [asked] = [each for each in lines if _is(each, "approval.requested")]
    old = place / "app" / "old.gz"
    expected = [[str(old), 5000, int(old.stat().st_mtime)]]
    assert json.loads(asked["data"]["document"]["inputs"]["candidates"]) == expected
    assert asked["data"]["document"]["connectors"] == []
    assert [each["cell"] for each in lines if _is(each, "approval.revoked")] == ["remove"]
    assert [each["type"] for each in lines].count("session.closed") == 1
    assert len(list((place / "app").iterdir())) == 3, "nothing was removed"


def test_a_folder_that_no_policy_lists_is_closed_and_the_cell_says_why(place: Path) -> None:
    code, lines = walk(place, "")
    assert code == 1
    failed = [each for each in lines if _is(each, "cell.finished")][-1]
    assert failed["cell"] == "biggest"
    assert "lanes.read-only.readable" in failed["data"]["error"]


def _is(line: dict[str, Any], kind: str) -> bool:
    return bool(line["type"] == kind)


# ---- the change itself -------------------------------------------------------------------------


def removed(runbook: Runbook, candidates: list[list[Any]]) -> tuple[dict[str, Any], str]:
    """Run the gated cell here, as its kernel would; its variables, and what it printed."""
    variables: dict[str, Any] = {"candidates": candidates}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source(runbook, "remove"), "remove", "exec"), variables)
    return variables, printed.getvalue()


def listed(path: Path) -> list[Any]:
    status = path.lstat()
    return [str(path), status.st_size, int(status.st_mtime)]


def test_it_removes_what_was_approved_and_nothing_else(runbook: Runbook, place: Path) -> None:
    variables, printed = removed(runbook, [listed(place / "app" / "old.gz")])
    assert sorted(path.name for path in (place / "app").iterdir()) == ["new.gz", "old.log"]
    assert variables["freed"] == 5000
    assert "removed 1 files, 5000 bytes" in printed


def test_it_leaves_alone_what_has_changed_since(runbook: Runbook, place: Path) -> None:
    grown, linked, gone = (place / "app" / name for name in ("old.gz", "new.gz", "old.log"))
    candidates = [listed(grown), listed(linked), listed(gone)]
    grown.write_bytes(b"written again")
    linked.unlink()
    linked.symlink_to(grown)
    gone.unlink()
    with pytest.raises(RuntimeError, match="3 files are still there"):
        removed(runbook, candidates)
    assert grown.read_bytes() == b"written again"
    assert linked.is_symlink()


def test_it_does_not_follow_a_link_of_the_right_size_and_time(
    runbook: Runbook, place: Path
) -> None:
    link = place / "app" / "link.gz"
    link.symlink_to(place / "app" / "old.gz")
    with pytest.raises(RuntimeError, match="1 files"):
        removed(runbook, [listed(link)])
    assert link.is_symlink()
