"""Every attack as an ordinary user, whom nothing but the sandbox restrains.

The test runs a program that becomes ``nobody`` and then is the daemon: victim, broker and attacker
belong to the same user, as on a laptop. The attacker is plain Python of the system.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runbookd.events import SandboxReport
from runbookd.kernels.sandbox import LandlockSandbox

from .test_from_a_kernel import NAMES

DAEMON = """
import json, os, pwd, sys
from pathlib import Path
import psutil
from runbookd.kernels.sandbox import LandlockSandbox, NoSandbox, probe, syscalls
from runbookd.kernels.sandbox.probe import attack

user = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
syscalls.prctl(4, 1)  # PR_SET_DUMPABLE, which becoming another user has switched off
os.environ["HOME"] = "/nonexistent"
os.chdir("/")
python = Path(sys.argv[1])
if sys.argv[2] == "walls":
    sandbox, report = probe(python)
else:
    report = attack(NoSandbox(python), python)
print(report.model_dump_json())
"""


def report(python: str, mode: str) -> SandboxReport:
    outcome = subprocess.run(
        [sys.executable, "-c", DAEMON, python, mode],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert outcome.returncode == 0, outcome.stderr
    return SandboxReport.model_validate(json.loads(outcome.stdout))


@pytest.fixture(scope="module")
def python() -> str:
    found = shutil.which("python3", path="/usr/bin:/bin")
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; the other attacks run as this user")
    if found is None:
        pytest.skip("the system has no Python of its own, which anybody could run")
    return found


@pytest.fixture(scope="module")
def found(sandbox: LandlockSandbox, python: str) -> SandboxReport:
    return report(python, "walls")


def test_the_sandbox_needs_no_root(found: SandboxReport) -> None:
    assert found.why == ""
    assert found.level == "process"


@pytest.mark.parametrize("attack", NAMES)
def test_an_attack_by_an_ordinary_user_is_denied(attack: str, found: SandboxReport) -> None:
    assert {row.attack: row.denied for row in found.rows}[attack]


# What needs a privilege, or is not built into every kernel, fails without walls too. The first
# four leave no trace because a signal has ended their victim; test_every_check_counts has them.
FAIL_ANYWAY = set(
    """
    affinity priority scheduler io-priority
    bpf change-root file-handle foreign-call join-namespace
    kernel-crypto load-module mount mount-open mount-tree newer-call packet perf ping privileges raw
    set-clock terminal-input user-namespace user-namespace-clone user-namespace-clone3 userfault
    vsock watch-files x32-call chown file-attributes fchmodat2 setxattrat
    tcp-source-route
    """.split()  # noqa: SIM905
)


def test_the_attacks_are_real(sandbox: LandlockSandbox, python: str) -> None:
    without = report(python, "none")
    assert {row.attack for row in without.rows if row.denied} <= FAIL_ANYWAY
