"""What a kernel finds around itself: its scratch folder and its environment variables.

A kernel inherits nothing. It gets an allow-list of harmless variables, folders of its own inside
its scratch folder, and what its caller names; a secret in the daemon's environment stays there.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from string import Template

from runbookd.errors import KernelUnavailable

_INHERITED = ("PATH", "LANG", "LANGUAGE", "TZ")
_INHERITED_PREFIX = "LC_"

_FOLDERS = {
    "HOME": "home",
    "TMPDIR": "tmp",
    "IPYTHONDIR": "home/.ipython",
    "JUPYTER_CONFIG_DIR": "home/.jupyter",
    "JUPYTER_DATA_DIR": "home/.local/share/jupyter",
    "JUPYTER_RUNTIME_DIR": "run/jupyter",
    "XDG_CACHE_HOME": "home/.cache",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_DATA_HOME": "home/.local/share",
    "XDG_STATE_HOME": "home/.local/state",
    "XDG_RUNTIME_DIR": "run",
}

_FIXED = {
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


def kernel_environment(
    daemon: Mapping[str, str], scratch: Path, spec: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a kernel.

    Args:
        daemon: the daemon's own environment, of which an allow-list is passed on.
        scratch: the kernel's scratch folder; every folder variable points into it.
        spec: what the kernelspec asks for; ``${NAME}`` in it means a variable of this result.
        given: what the caller adds, for example the addresses of connectors.

    Later ones win, except that nobody moves a folder out of scratch.
    """
    env = {
        name: value
        for name, value in daemon.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIX)
    }
    env |= _FIXED
    env |= {name: Template(value).safe_substitute(env) for name, value in spec.items()}
    env |= given
    return env | {name: str(scratch / folder) for name, folder in _FOLDERS.items()}


def prepare_scratch(scratch: Path) -> None:
    """Make the scratch folder and its folders, private to the owner.

    Raises:
        KernelUnavailable: they cannot be made.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch.chmod(0o700)
        for folder in _FOLDERS.values():
            (scratch / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise KernelUnavailable(
            f"the scratch folder {scratch} cannot be made ({error.strerror})",
            "make room, or correct its owner",
        ) from None


def open_log(scratch: Path, kernel: str) -> int:
    """A new file in scratch for what the kernel process itself prints, as a file descriptor.

    It must not exist: a kernel that ran here before could have put a link in its place.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(scratch / f"{kernel}.log", flags, 0o600)
    except OSError as error:
        raise KernelUnavailable(
            f"the kernel's log cannot be made in {scratch} ({error.strerror})", "make room there"
        ) from None
