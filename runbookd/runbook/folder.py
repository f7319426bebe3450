"""The runbooks folder: what can be opened in it, and which git commit a runbook is from."""

import hashlib
import os
import subprocess
from collections import Counter
from pathlib import Path

from runbookd.api import RunbookInfo
from runbookd.errors import RunbookError
from runbookd.runbook.notebook import plan, read_runbook
from runbookd.runbook.parameters import describe

_GIT_TIMEOUT_S = 5


def list_runbooks(folder: Path) -> tuple[RunbookInfo, ...]:
    """Every notebook in ``folder`` and the folders below it, sorted by path.

    Those that cannot be opened are listed with their ``problem``. Hidden folders are passed over;
    a folder that is not there holds nothing.
    """
    found: list[RunbookInfo] = []

    def unreadable(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            path = Path(error.filename)
            problem = f"the folder cannot be read: {error.strerror}"
            found.append(RunbookInfo(path=str(path), title=path.name, problem=problem))

    for here, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            _describe(Path(here, name))
            for name in files
            if name.endswith(".ipynb") and not name.startswith(".")
        ]
    return tuple(sorted(found, key=lambda info: info.path))


def git_commit(path: Path, raw: bytes | None = None) -> str | None:
    """The commit that is checked out where ``path`` lies, if it holds exactly this file.

    Args:
        path: the file.
        raw: its bytes as they were read; default, read now.

    Returns:
        The commit's id; None where there is no git, no commit, or the file differs from it.
    """
    try:
        file = path.resolve(strict=True)
        data = file.read_bytes() if raw is None else raw
        # Only names are looked up: `git status` and `git diff` would run the hooks and filters
        # that the repository's own configuration may hold.
        ended = subprocess.run(
            ["git", "rev-parse", "HEAD^{commit}", f"HEAD:./{file.name}"],
            cwd=file.parent,
            env=_git_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
        commit, blob = ended.stdout.split()
    except (OSError, ValueError, RuntimeError, subprocess.SubprocessError):
        return None
    return commit if blob == _blob_id(data, len(blob)) else None


def _git_environment() -> dict[str, str]:
    """What git needs, without the caller's GIT_DIR and the like, and without a way out."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def _blob_id(data: bytes, length: int) -> str:
    """The name that git gives to a file's content: SHA-1, or SHA-256 in newer repositories."""
    named = b"blob %d\0" % len(data) + data
    if length == hashlib.sha256().digest_size * 2:
        return hashlib.sha256(named).hexdigest()
    return hashlib.sha1(named, usedforsecurity=False).hexdigest()


def _describe(path: Path) -> RunbookInfo:
    try:
        runbook = read_runbook(path)
    except RunbookError as error:
        return RunbookInfo(path=str(path), title=path.stem, problem=str(error))
    return RunbookInfo(
        path=str(path),
        title=runbook.title,
        service=runbook.service,
        environment=runbook.environment,
        severity=runbook.severity,
        tags=runbook.tags,
        parameters=describe(runbook),
        cells=dict(Counter(step.mode for step in plan(runbook))),
    )
