"""Kernelspecs: which kernels there are, how each is started, and a digest that names one.

``python3`` is always the interpreter that runbookd itself runs in, so a fresh install in a
virtual environment walks Python runbooks without any set-up. Every other name is looked up the way
Jupyter does it (``jupyter kernelspec list``).
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runbookd.canonical import digest
from runbookd.errors import KernelUnavailable
from runbookd.model import Digest

NATIVE = "python3"


@dataclass(frozen=True)
class Kernelspec:
    """How a kernel is started.

    ``argv`` holds the placeholder ``{connection_file}``. ``curve`` says that the kernel understands
    encrypted transport (CurveZMQ keys in its connection file).
    """

    name: str
    language: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    interrupt_mode: Literal["signal", "message"] = "signal"
    curve: bool = False
    resource_dir: str = ""

    @property
    def interpreter(self) -> str:
        """The program that is started, as a real path; as it stands when it cannot be found."""
        found = shutil.which(self.argv[0])
        return str(Path(found).resolve()) if found else self.argv[0]


def find_kernelspec(name: str) -> Kernelspec:
    """The kernelspec called ``name``.

    Raises:
        KernelUnavailable: there is none of that name, or it cannot be used.
    """
    if name == NATIVE:
        return _native()
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    from traitlets import TraitError

    try:
        found = KernelSpecManager().get_kernel_spec(name)
        return _checked(name, found.to_dict(), found.resource_dir)
    except NoSuchKernel:
        there = ", ".join(kernelspec_names())
        raise KernelUnavailable(
            f"there is no kernel {name!r} on this machine",
            f"install it, or name one of these in the notebook's kernelspec: {there}",
        ) from None
    except (OSError, ValueError, TypeError, TraitError) as error:
        raise KernelUnavailable(
            f"the kernelspec {name!r} cannot be read ({type(error).__name__})",
            "look at its kernel.json; `jupyter kernelspec list` shows where it is",
        ) from None


def kernelspec_names() -> tuple[str, ...]:
    """The names of all kernelspecs that can be started here, sorted; ``python3`` always is."""
    from jupyter_client.kernelspec import KernelSpecManager

    return tuple(sorted({NATIVE, *KernelSpecManager().find_kernel_specs()}))


def kernelspec_digest(name: str) -> Digest:
    """SHA-256 over what decides which program a kernel is; part of what an approval binds.

    Covers the name, the command line, the environment the spec asks for, the language and the
    interpreter's real path. Raises KernelUnavailable as :func:`find_kernelspec` does.
    """
    spec = find_kernelspec(name)
    return digest(
        {
            "argv": list(spec.argv),
            "env": [[key, spec.env[key]] for key in sorted(spec.env)],
            "interpreter": spec.interpreter,
            "interrupt_mode": spec.interrupt_mode,
            "language": spec.language,
            "name": spec.name,
        }
    )


def _native() -> Kernelspec:
    from ipykernel.kernelspec import get_kernel_dict

    # The history of cells is the record, not a database. Without any history manager ipykernel
    # 7.4 often hangs when it is told to shut down (with one: seldom).
    launcher = ("-m", "ipykernel_launcher", "-f", "{connection_file}")
    return Kernelspec(
        name=NATIVE,
        language="python",
        argv=(sys.executable, *launcher, "--HistoryManager.hist_file=:memory:"),
        interrupt_mode="message",
        curve=_speaks_curve(get_kernel_dict().get("metadata", {})),
    )


def _checked(name: str, spec: Mapping[str, Any], resource_dir: str) -> Kernelspec:
    argv = tuple(str(part) for part in spec.get("argv", ()))
    if not argv or not any("{connection_file}" in part for part in argv):
        raise ValueError("argv does not take a connection file")
    return Kernelspec(
        name=name,
        language=str(spec.get("language", "")).lower(),
        argv=argv,
        env={str(key): str(value) for key, value in (spec.get("env") or {}).items()},
        interrupt_mode="message" if spec.get("interrupt_mode") == "message" else "signal",
        curve=_speaks_curve(spec.get("metadata") or {}),
        resource_dir=resource_dir,
    )


def _speaks_curve(metadata: Mapping[str, Any]) -> bool:
    import zmq

    offered = metadata.get("supported_encryption", ())
    return bool(zmq.has("curve")) and "curve" in (
        (offered,) if isinstance(offered, str) else offered
    )
