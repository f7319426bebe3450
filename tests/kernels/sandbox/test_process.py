import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbookd.errors import KernelUnavailable
from runbookd.kernels.sandbox import LandlockSandbox, NoSandbox, Walls, kill_tree, seccomp
from runbookd.kernels.sandbox.process import SandboxedProcess

from .conftest import Run, Start

ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.environ.clear()
        print(os.getpid(), flush=True)
        os.close(0); os.close(1); os.close(2)
        time.sleep(100)
    os._exit(0)
os.wait()
"""

# Each generation leaves the session of the one before, and lives for a blink.
FLEE = """
import os
print("off", flush=True)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
"""

BOMB = """
import os, time
born = 0
try:
    while born < 100:
        if os.fork() == 0:
            time.sleep(100)
        born += 1
except OSError as error:
    print(born, error.strerror, flush=True)
time.sleep(100)
"""

THREAD_SURVIVES = """
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(100,)).start()
print(os.getpid(), flush=True)
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit, of one thread
"""


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return b") Z " not in Path(f"/proc/{process}/stat").read_bytes()


def test_the_environment_is_exactly_what_was_given(run: Run) -> None:
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    given = {"ONE": "1", "PYTHONHOME": "/nowhere"}
    seen = json.loads(run(code, env=given))
    seen.pop("LC_CTYPE", None)  # the interpreter's own doing
    assert seen == given


def test_no_descriptor_is_inherited(start: Start) -> None:
    kept = os.open("/dev/null", os.O_RDWR)
    try:
        os.set_inheritable(kept, True)
        code = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd')))"
        printed, _ = start(code).communicate(timeout=30)
    finally:
        os.close(kept)
    assert printed.decode().strip() == "[0, 1, 2, 3]"  # 3: the folder being listed


def test_it_leads_a_session_of_its_own(run: Run) -> None:
    assert run("import os; print(os.getsid(0) == os.getpgid(0) == os.getpid())") == "True"


def test_it_has_no_privileges_and_cannot_gain_any(run: Run) -> None:
    status = run("print(open('/proc/self/status').read())")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert [fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == ["0" * 16] * 4
    assert fields["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert fields["CapBnd"] == "0" * 16


def test_the_daemon_itself_stays_free(run: Run, tmp_path: Path) -> None:
    assert run("print('ran')") == "ran"
    (tmp_path / "daemon").write_text("still writes")
    (tmp_path / "daemon").chmod(0o640)
    assert (tmp_path / "daemon").stat().st_mode & 0o777 == 0o640


def test_limits_hold_and_cannot_be_raised(run: Run) -> None:
    code = """
import resource as r
for limit in ("RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_DATA", "RLIMIT_FSIZE"):
    print(limit, *r.getrlimit(getattr(r, limit)))
try:
    r.setrlimit(r.RLIMIT_NOFILE, (101, 101))
except ValueError as error:
    print("refused")
try:
    x = bytearray(200 << 20)
except MemoryError:
    print("no memory")
"""
    printed = run(code, memory=100 << 20, open_files=100, file_size=4096)
    assert printed.splitlines() == [
        "RLIMIT_CORE 0 0",
        "RLIMIT_NOFILE 100 100",
        f"RLIMIT_DATA {100 << 20} {100 << 20}",
        "RLIMIT_FSIZE 4096 4096",
        "refused",
        "no memory",
    ]


def test_shared_memory_has_an_end_too(run: Run) -> None:
    code = """
import mmap
try:
    mmap.mmap(-1, 6 << 30)
except OSError as error:
    print("refused")
"""
    assert run(code, memory=100 << 20) == "refused"


def test_files_it_makes_are_its_own(run: Run, scratch: Path) -> None:
    run("open('new', 'w')")
    assert (scratch / "new").stat().st_mode & 0o777 == 0o600


def test_a_program_that_is_not_there_is_said_so(sandbox: LandlockSandbox, scratch: Path) -> None:
    with pytest.raises(KernelUnavailable, match="there is no program no-such-program"):
        sandbox.spawn(["no-such-program"], env={}, cwd=scratch, walls=Walls(scratch=scratch))


def test_nothing_runs_when_the_filter_is_refused(
    sandbox: LandlockSandbox, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seccomp.bpf, "encode", lambda steps: bytes(8 * len(steps)))
    with pytest.raises(KernelUnavailable, match="cannot be started in the sandbox"):
        sandbox.spawn(
            [sys.executable, "-c", "open('ran', 'w')"],
            env={},
            cwd=scratch,
            walls=Walls(scratch=scratch),
        )
    assert list(scratch.iterdir()) == []


def test_a_folder_to_start_in_that_is_not_there_is_said_so(
    sandbox: LandlockSandbox, scratch: Path
) -> None:
    with pytest.raises(KernelUnavailable, match="cannot be started in the sandbox"):
        sandbox.spawn(
            [sys.executable, "-c", ""],
            env={},
            cwd=scratch / "nowhere",
            walls=Walls(scratch=scratch),
        )


def test_rules_that_make_no_sense_are_said_so(sandbox: LandlockSandbox, scratch: Path) -> None:
    (scratch / "loop").symlink_to("loop")
    with pytest.raises(KernelUnavailable, match=r"is to be writable, but does not exist|cannot be"):
        sandbox.spawn(
            [sys.executable, "-c", ""],
            env={},
            cwd=scratch,
            walls=Walls(scratch=scratch / "loop"),
        )


def test_the_exit_code_and_signals_are_the_programs_own(start: Start) -> None:
    assert start("raise SystemExit(7)").wait(10) == 7
    process = start("import time; print('up', flush=True); time.sleep(100)")
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM


@pytest.fixture(params=["groups", "no groups"])
def by(
    request: pytest.FixtureRequest, sandbox: LandlockSandbox, without_groups: LandlockSandbox
) -> LandlockSandbox:
    """As root has it, and as others do."""
    return sandbox if request.param == "groups" else without_groups


@pytest.mark.parametrize("ends_itself", [True, False])
def test_a_daemon_that_hides_from_its_session_is_ended_too(
    start: Start, by: LandlockSandbox, ends_itself: bool
) -> None:
    process = start(ESCAPE if ends_itself else ESCAPE + "\ntime.sleep(100)", by=by)
    assert process.stdout is not None
    escaped = int(process.stdout.readline())
    if ends_itself:
        process.wait(10)
    assert alive(escaped)
    assert not process.broker.gone.is_set()
    assert kill_tree(process)
    assert not alive(escaped)
    assert process.broker.gone.wait(5)


def test_a_process_whose_first_thread_has_ended_is_ended_too(
    start: Start, by: LandlockSandbox
) -> None:
    process = start(THREAD_SURVIVES, by=by)
    assert process.stdout is not None
    leader = int(process.stdout.readline())
    assert kill_tree(process)
    assert process.broker.gone.wait(5)
    assert process.returncode == -signal.SIGKILL
    assert not alive(leader)


def test_ending_a_tree_at_once_leaves_nothing(start: Start, by: LandlockSandbox) -> None:
    process = start("import time; time.sleep(100)", by=by)
    assert kill_tree(process)
    assert process.returncode == -signal.SIGKILL


def test_who_flees_from_session_to_session_is_caught_by_the_group(start: Start) -> None:
    process = start(FLEE)
    assert process.stdout is not None
    process.stdout.readline()
    if process.group is None:
        pytest.skip("no control groups for this user here")
    assert kill_tree(process)
    assert process.broker.gone.wait(5)


def test_the_group_holds_root_to_its_number_of_processes(start: Start) -> None:
    process = start(BOMB, processes=9)
    if process.group is None or not process.group.counts:
        pytest.skip("no control groups for this user here")
    assert process.stdout is not None
    assert process.stdout.readline() == b"8 Resource temporarily unavailable\n"
    assert kill_tree(process)


def test_no_door_of_the_group_stays_open_behind_the_walls(start: Start) -> None:
    process = start("import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))")
    printed, _ = process.communicate(timeout=30)
    assert printed.decode().strip() == "[0, 1, 2, 3]"  # 3 is the folder being listed


def test_no_group_is_left_behind(start: Start) -> None:
    process = start("pass")
    process.wait(10)
    assert kill_tree(process)
    if process.group is not None:
        with pytest.raises(FileNotFoundError):
            process.group.doors()


def test_ending_one_tree_leaves_the_others(start: Start) -> None:
    one, other = (start("input(); print('still here')") for _ in range(2))
    assert kill_tree(one)
    printed, _ = other.communicate(b"\n", timeout=10)
    assert printed.decode().strip() == "still here"


def test_the_end_of_the_last_process_is_noticed(start: Start) -> None:
    process = start("pass")
    assert process.broker.gone.wait(10)


def test_without_a_sandbox_the_level_says_so() -> None:
    assert NoSandbox().level == "none"


def test_without_a_sandbox_a_tree_can_still_be_ended(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '100'], start_new_session=True)"
    announced = f"import os; print(os.getpid(), flush=True); {code}"
    process = NoSandbox().spawn(
        [sys.executable, "-I", "-S", "-c", announced],
        env={"PATH": os.defpath},
        cwd=tmp_path,
        walls=Walls(),
        stdout=subprocess.PIPE,
    )
    assert not isinstance(process, SandboxedProcess)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        assert kill_tree(process)
        assert process.returncode == -signal.SIGKILL
        assert process.stdout.read() == b""  # whoever held the other end is gone


def test_without_a_sandbox_limits_still_hold(tmp_path: Path) -> None:
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[1])"
    process = NoSandbox().spawn(
        [sys.executable, "-I", "-S", "-c", code],
        env={},
        cwd=tmp_path,
        walls=Walls(open_files=99),
        stdout=subprocess.PIPE,
    )
    assert process.communicate(timeout=10)[0] == b"99\n"
