"""The runbooks folder, with real files and real repositories."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runbookd.runbook.folder import git_commit, list_runbooks

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def put(folder, name, source="everything-that-is-allowed"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(NOTEBOOKS / f"{source}.ipynb", path)
    return path


def test_runbooks_are_listed_by_path_with_what_they_are(tmp_path):
    put(tmp_path, "b.ipynb")
    put(tmp_path, "a/x.ipynb", "no-cells")
    first, second = list_runbooks(tmp_path)
    assert (first.path, first.title, first.cells) == (str(tmp_path / "a/x.ipynb"), "x", {})
    assert (second.title, second.service, second.environment) == (
        "Pool exhaustion",
        "checkout",
        "production",
    )
    assert (second.severity, second.tags, second.problem) == (2, ("db",), "")
    assert second.cells == {"read-only": 1, "gated": 2, "manual": 1}
    assert [each.name for each in second.parameters][:2] == ["pool", "region"]


def test_a_broken_runbook_is_listed_with_its_problem(tmp_path):
    put(tmp_path, "a.ipynb", "format-5")
    (only,) = list_runbooks(tmp_path)
    assert only.title == "a"
    assert "notebook format 5" in only.problem


def test_hidden_files_and_checkpoints_are_passed_over(tmp_path):
    put(tmp_path, ".ipynb_checkpoints/a-checkpoint.ipynb")
    put(tmp_path, ".hidden.ipynb")
    put(tmp_path, "notes.txt")
    assert list_runbooks(tmp_path) == ()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert list_runbooks(tmp_path / "none") == ()


def test_a_folder_that_leads_back_to_itself_ends(tmp_path):
    put(tmp_path, "a.ipynb")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(list_runbooks(tmp_path)) == 1


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    put(tmp_path, "closed/a.ipynb")
    scandir = os.scandir

    # Root may read every folder, so the kernel's answer to others is played here.
    def closed(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    (only,) = list_runbooks(tmp_path)
    assert only.problem == "the folder cannot be read: Permission denied"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "A")
        monkeypatch.setenv(f"{name}_EMAIL", "a@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


def git(folder, *arguments):
    ended = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return ended.stdout.strip()


def committed(folder, name="a b.ipynb"):
    path = put(folder, name)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "x")
    return path


def test_a_committed_runbook_has_its_commit(repository):
    path = committed(repository, "sub/a b.ipynb")
    assert git_commit(path) == git(repository, "rev-parse", "HEAD")
    assert git_commit(path, path.read_bytes()) == git(repository, "rev-parse", "HEAD")


def test_a_repository_with_sha_256_names_works(tmp_path, repository):
    folder = tmp_path / "newer"
    folder.mkdir()
    git(folder, "init", "-q", "--object-format=sha256")
    path = committed(folder)
    commit = git_commit(path)
    assert commit == git(folder, "rev-parse", "HEAD")
    assert len(commit) == 64


def test_an_edited_runbook_has_no_commit(repository):
    path = committed(repository)
    raw = path.read_bytes()
    path.write_bytes(raw + b" ")
    assert git_commit(path) is None
    # What was read before the edit is what counts, not what lies there now.
    assert git_commit(path, raw) is not None


def test_a_staged_or_new_runbook_has_no_commit(repository):
    committed(repository)
    new = put(repository, "new.ipynb")
    assert git_commit(new) is None
    git(repository, "add", ".")
    assert git_commit(new) is None


def test_without_repository_commit_file_or_git_there_is_none(tmp_path, repository, monkeypatch):
    assert git_commit(put(tmp_path, "a.ipynb")) is None
    assert git_commit(put(repository, "a.ipynb")) is None
    assert git_commit(repository / "none.ipynb") is None
    path = committed(repository)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert git_commit(path) is None


def test_the_callers_git_variables_do_not_mislead(repository, tmp_path, monkeypatch):
    path = committed(repository)
    commit = git_commit(path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert git_commit(path) == commit


def test_nothing_that_the_repository_configures_is_run(repository):
    path = committed(repository)
    made = repository / "made"
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand", "filter.x.clean"):
        git(repository, "config", key, f"touch {made}; false")
    (repository / ".git/info/attributes").write_text("*.ipynb filter=x\n")
    os.utime(path, (1, 1))
    assert git_commit(path) is not None
    assert not made.exists()
