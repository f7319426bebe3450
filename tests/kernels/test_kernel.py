"""A real ipykernel: started, followed, interrupted, killed, ended."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import zmq
import zmq.asyncio

from runbookd.errors import CommandRefused, KernelUnavailable, RecordUnwritable, RunbookError
from runbookd.kernels.kernel import Kernel, KernelOptions, KernelOutput
from runbookd.kernels.sandbox import LandlockSandbox, NoSandbox, Walls
from runbookd.kernels.sandbox.syscalls import this_machine

from .conftest import KernelspecFolder, Outputs, StartKernel


async def pid_of(kernel: Kernel) -> int:
    return int((await kernel_says(kernel, "import os; print(os.getpid())")).strip())


async def kernel_says(kernel: Kernel, source: str) -> str:
    outputs = Outputs()
    outcome = await kernel.execute(source, outputs)
    assert outcome.status == "ok", outcome
    return outputs.text()


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pid: int, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


# --- outputs ----------------------------------------------------------------------------------


async def test_a_cell_puts_out_text_a_result_and_how_it_ended(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel()
    outcome = await kernel.execute(
        "import sys\nprint('a')\nprint('b', file=sys.stderr)\n6*7", outputs
    )
    assert outcome.status == "ok"
    assert outcome.error == ""
    assert outcome.duration_ms >= 0
    assert outputs.text("stdout") == "a\n"
    assert outputs.text("stderr") == "b\n"
    assert outputs.text("result") == "42"
    assert (kernel.lane, kernel.language, kernel.kernelspec, kernel.level) == (
        "read-only",
        "python",
        "python3",
        "none",
    )


async def test_an_error_is_named_and_its_traceback_kept(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel()
    outcome = await kernel.execute("print('before')\nnope", outputs)
    assert outcome.status == "error"
    assert outcome.error == "NameError: name 'nope' is not defined"
    assert [piece.channel for piece in outputs.pieces] == ["stdout", "error"]
    assert "Traceback" in outputs.text("error")


async def test_a_picture_arrives_as_bytes(start_kernel: StartKernel, outputs: Outputs) -> None:
    kernel = await start_kernel()
    await kernel.execute(
        "from IPython.display import Image, display\n"
        "display(Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + b'x' * 40, format='png'))",
        outputs,
    )
    [piece] = outputs.pieces
    assert piece.channel == "display"
    assert piece.mimes["image/png"] == b"\x89PNG\r\n\x1a\n" + b"x" * 40


async def test_a_flood_of_prints_arrives_complete_in_few_pieces(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel()
    outcome = await kernel.execute("for i in range(20000): print(i)", outputs)
    assert outcome.status == "ok"
    assert outputs.text() == "".join(f"{i}\n" for i in range(20000))
    assert len(outputs.pieces) < 100


async def test_nothing_is_lost_while_the_daemon_is_stalled(start_kernel: StartKernel) -> None:
    kernel = await start_kernel()
    pieces: list[str] = []

    async def stalls_at_first(output: KernelOutput) -> None:
        if not pieces:
            time.sleep(4)
        pieces.append(str(output.mimes["text/plain"]))

    line = "x" * 2000  # enough to fill the sockets' own buffers, too
    source = f"for i in range(8000): print(i, '{line}', flush=True)"
    await kernel.execute(source, stalls_at_first)
    assert "".join(pieces) == "".join(f"{i} {line}\n" for i in range(8000))


async def test_output_beyond_the_limit_is_left_out_and_said_so(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel(output_limit=100_000)
    outcome = await kernel.execute("for i in range(30): print('x' * 9999)\n1 / 0", outputs)
    assert outcome.status == "error"
    assert len(outputs.text("stdout")) == 100_000
    assert "beyond 100000 bytes" in outputs.text("stderr")
    assert "ZeroDivisionError" in outputs.text("error")


async def test_output_comes_while_the_cell_still_runs(start_kernel: StartKernel) -> None:
    kernel = await start_kernel()
    heard = asyncio.Event()

    async def on_output(output: KernelOutput) -> None:
        heard.set()

    running = asyncio.create_task(
        kernel.execute("import time; print('first', flush=True); time.sleep(60)", on_output)
    )
    async with asyncio.timeout(5):
        await heard.wait()
    assert kernel.busy
    await kernel.interrupt()
    assert (await running).status == "interrupted"


async def test_a_cell_that_asks_for_input_is_refused_at_once(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel()
    await kernel.execute("1 / 0", outputs)  # loads what shows errors, which takes its time
    for source in ("input('sure? ')", "import getpass; getpass.getpass()"):
        outcome = await kernel.execute(source, outputs, timeout_s=10)
        assert outcome.status == "error"
        assert outcome.duration_ms < 1000
        assert outcome.error.startswith("StdinNotImplementedError")


# --- ends -------------------------------------------------------------------------------------


async def test_a_timeout_interrupts_and_the_kernel_can_still_be_used(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel()
    outcome = await kernel.execute("x = 1\nimport time; time.sleep(60)", outputs, timeout_s=0.5)
    assert outcome.status == "timeout"
    assert 400 < outcome.duration_ms < 5000
    assert kernel.alive
    assert await kernel_says(kernel, "print(x)") == "1\n"


@pytest.mark.parametrize(
    "source",
    [
        "10 ** 10 ** 9",
        "while True:\n    try:\n        import time; time.sleep(60)\n"
        "    except KeyboardInterrupt: pass",
    ],
    ids=["a loop in C", "a cell that swallows interrupts"],
)
async def test_what_cannot_be_interrupted_is_killed(
    start_kernel: StartKernel, outputs: Outputs, source: str
) -> None:
    kernel = await start_kernel()
    pid = await pid_of(kernel)
    started = time.monotonic()
    outcome = await kernel.execute(source, outputs, timeout_s=0.5)
    assert time.monotonic() - started < 5
    assert outcome.status == "timeout"
    assert "killed" in outcome.error
    assert not kernel.alive
    assert not is_running(pid)
    async with asyncio.timeout(2):
        assert "did not stop" in await kernel.died()


async def test_the_time_limit_holds_while_outputs_are_still_being_taken(
    start_kernel: StartKernel, tmp_path: Path
) -> None:
    kernel = await start_kernel()
    stopped = tmp_path / "scratch0" / "stopped"

    async def slow(output: KernelOutput) -> None:
        if "first" in str(output.mimes):
            async with asyncio.timeout(10):
                while not stopped.exists():
                    await asyncio.sleep(0.02)

    outcome = await kernel.execute(
        "import pathlib, time\nprint('first', flush=True)\n"
        "try: time.sleep(60)\nfinally: pathlib.Path('stopped').touch()",
        slow,
        timeout_s=0.5,
    )
    assert outcome.status == "timeout"
    assert kernel.alive


async def test_who_takes_outputs_is_told_when_there_are_no_more_for_now(
    start_kernel: StartKernel,
) -> None:
    kernel = await start_kernel()
    heard: list[str] = []
    settled = asyncio.Event()

    async def take(output: KernelOutput) -> None:
        heard.append(str(output.mimes["text/plain"]))

    async def settle() -> None:
        heard.append("settled")
        settled.set()

    running = asyncio.create_task(
        kernel.execute("import time; print(1, flush=True); time.sleep(60)", take, settled=settle)
    )
    async with asyncio.timeout(5):
        await settled.wait()
    assert heard == ["1\n", "settled"]
    await kernel.interrupt()
    assert (await running).status == "interrupted"
    assert heard[-1] == "settled"


def sleeping() -> bool:
    """Whether a `sleep` runs below this process."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == "sleep":
                return True
    return False


async def test_an_interrupt_stops_a_cell_and_its_child(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel(grace_s=8.0)
    running = asyncio.create_task(
        kernel.execute("import subprocess; subprocess.run(['sleep', '60'])", outputs)
    )
    while not sleeping():
        await asyncio.sleep(0.02)
    await kernel.interrupt()
    outcome = await running
    assert outcome.status == "interrupted"
    assert outcome.duration_ms < 10_000
    assert kernel.alive


async def test_an_interrupt_when_nothing_runs_changes_nothing(start_kernel: StartKernel) -> None:
    kernel = await start_kernel()
    await kernel.interrupt()
    assert await kernel_says(kernel, "print(1)") == "1\n"


async def test_a_killed_kernel_ends_its_cell_as_died_and_is_noticed(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel()
    pid = await pid_of(kernel)
    started = asyncio.Event()

    async def on_output(output: KernelOutput) -> None:
        await outputs(output)
        started.set()

    running = asyncio.create_task(
        kernel.execute("print('last words', flush=True); import time; time.sleep(60)", on_output)
    )
    await started.wait()
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(2):
        outcome = await running
        why = await kernel.died()
    assert outcome.status == "died"
    assert "SIGKILL" in outcome.error
    assert "SIGKILL" in why
    assert outputs.text() == "last words\n"
    assert not kernel.alive


async def test_a_kernel_that_dies_at_rest_is_noticed(start_kernel: StartKernel) -> None:
    kernel = await start_kernel()
    os.kill(await pid_of(kernel), signal.SIGKILL)
    async with asyncio.timeout(2):
        assert "SIGKILL" in await kernel.died()
    with pytest.raises(KernelUnavailable, match="not running"):
        await kernel.execute("1", Outputs())
    with pytest.raises(KernelUnavailable, match="not running"):
        await kernel.read(["x"])


async def test_a_cell_that_ends_its_own_kernel_is_followed_to_the_end(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel()
    outcome = await kernel.execute("import os; os._exit(3)", outputs)
    assert outcome.status == "died"
    assert "exit code 3" in outcome.error


async def test_two_cells_never_run_at_once(start_kernel: StartKernel, outputs: Outputs) -> None:
    kernel = await start_kernel()
    running = asyncio.create_task(kernel.execute("import time; time.sleep(60)", outputs))
    await asyncio.sleep(0)
    for other in (kernel.execute("1", outputs), kernel.read(["x"]), kernel.bind({"x": "1"})):
        with pytest.raises(CommandRefused, match="busy"):
            await other
    await kernel.interrupt()
    assert (await running).status == "interrupted"


async def test_a_cell_whose_output_cannot_be_recorded_is_killed(
    start_kernel: StartKernel,
) -> None:
    kernel = await start_kernel()
    pid = await pid_of(kernel)

    async def full_disk(output: KernelOutput) -> None:
        raise RecordUnwritable("the disk is full")

    with pytest.raises(RecordUnwritable):
        await kernel.execute("print(1, flush=True)\nimport time; time.sleep(60)", full_disk)
    await kernel.died()
    assert not is_running(pid)


async def test_a_cell_that_nobody_waits_for_any_more_is_killed(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel()
    pid = await pid_of(kernel)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await kernel.execute("import time; time.sleep(60)", outputs)
    await kernel.died()
    assert not is_running(pid)


# --- traces -----------------------------------------------------------------------------------


async def test_nothing_is_left_after_the_end(start_kernel: StartKernel, tmp_path: Path) -> None:
    kernel = await start_kernel()
    pid = await pid_of(kernel)
    child = int(
        await kernel_says(
            kernel, "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
        )
    )
    assert is_running(pid)
    assert is_running(child)
    await kernel.end()
    await kernel.end()
    assert not kernel.alive
    assert not is_running(pid)
    wait_until_gone(child, 5)
    assert not list(tmp_path.glob("scratch*/.wire-*"))


async def test_a_busy_kernel_is_ended_at_once(start_kernel: StartKernel, outputs: Outputs) -> None:
    kernel = await start_kernel()
    running = asyncio.create_task(kernel.execute("import time; time.sleep(60)", outputs))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(3):
        await kernel.end()
        outcome = await running
    assert outcome.status == "interrupted"


async def test_a_kernel_that_dies_takes_its_children_along(start_kernel: StartKernel) -> None:
    kernel = await start_kernel()
    child = int(
        await kernel_says(
            kernel, "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
        )
    )
    os.kill(await pid_of(kernel), signal.SIGKILL)
    await kernel.died()
    wait_until_gone(child, 5)


async def test_the_connection_file_is_gone_once_the_kernel_has_read_it(
    start_kernel: StartKernel, tmp_path: Path
) -> None:
    kernel = await start_kernel()
    [folder] = tmp_path.glob("scratch0/.wire-*")
    assert folder.stat().st_mode & 0o077 == 0
    assert list(folder.iterdir()) == []
    assert (tmp_path / "scratch0").stat().st_mode & 0o077 == 0
    assert await kernel_says(kernel, "print(1)") == "1\n"


async def test_other_processes_hear_nothing_on_the_kernel_s_ports(
    start_kernel: StartKernel,
) -> None:
    kernel = await start_kernel()
    context = zmq.asyncio.Context()
    listener = context.socket(zmq.SUB)
    try:
        listener.setsockopt(zmq.SUBSCRIBE, b"")
        for port in kernel._wire.ports:
            listener.connect(f"tcp://127.0.0.1:{port}")
        assert await kernel_says(kernel, "import time; time.sleep(.5); print('hi')") == "hi\n"
        assert await listener.poll(200) == 0
    finally:
        context.destroy(linger=0)


async def test_a_kernel_sees_no_variable_of_the_daemon_but_harmless_ones(
    start_kernel: StartKernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    monkeypatch.setenv("LC_TIME", "C")
    kernel = await start_kernel(env={"CHECKOUT_URL": "http://127.0.0.1:1/x", "HOME": "/root"})
    said = await kernel_says(kernel, "import os, json; print(json.dumps(dict(os.environ)))")
    assert "xoxb-secret" not in said
    assert "SLACK_BOT_TOKEN" not in said
    assert '"CHECKOUT_URL": "http://127.0.0.1:1/x"' in said
    assert '"LC_TIME": "C"' in said
    assert f'"HOME": "{tmp_path}/scratch0/home"' in said


async def test_a_kernel_writes_no_history_and_nothing_to_the_terminal(
    start_kernel: StartKernel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kernel = await start_kernel()
    await kernel_says(kernel, "import os, sys; os.write(sys.__stderr__.fileno(), b'noise')")
    await kernel.end()
    assert list(tmp_path.rglob("*.sqlite*")) == []
    assert capfd.readouterr() == ("", "")


def test_a_kernel_dies_with_the_daemon(tmp_path: Path) -> None:
    daemon = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from runbookd.kernels.kernel import Kernel, KernelOptions
        from runbookd.kernels.sandbox import NoSandbox, Walls

        async def main():
            options = KernelOptions("python3", "read-only", Path(sys.argv[1]), Walls())
            kernel = await Kernel.start(options, NoSandbox())
            print(kernel._process.pid, flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", daemon, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        kernel = int(process.stdout.readline())
        assert is_running(kernel)
        process.kill()
    try:
        wait_until_gone(kernel)
    finally:
        if is_running(kernel):
            os.kill(kernel, signal.SIGKILL)


# --- starting ---------------------------------------------------------------------------------


async def test_a_missing_kernel_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    options = KernelOptions("condadev", "read-only", tmp_path / "s", Walls())
    with pytest.raises(KernelUnavailable, match=r"no kernel 'condadev'.*python3"):
        await Kernel.start(options, NoSandbox())


async def test_a_kernel_that_ends_at_its_start_is_reported_with_its_log(
    start_kernel: StartKernel, kernelspec: KernelspecFolder, tmp_path: Path
) -> None:
    kernelspec("broken", [sys.executable, "-c", "print('no such module'); exit(7)"])
    with pytest.raises(KernelUnavailable, match=r"exit code 7.*see .*\.log") as caught:
        await start_kernel(kernelspec="broken")
    log = Path(caught.value.hint.removeprefix("see "))
    assert log.read_text() == "no such module\n"
    assert not list(tmp_path.glob("scratch*/.wire-*"))


async def test_a_kernel_that_never_answers_is_given_up_and_ended(
    start_kernel: StartKernel, kernelspec: KernelspecFolder
) -> None:
    kernelspec("mute", [sys.executable, "-c", "import time; time.sleep(600)"])
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(KernelUnavailable, match="did not answer within 1 s"):
        await start_kernel(kernelspec="mute", start_timeout_s=1)
    assert set(psutil.Process().children(recursive=True)) == before


async def test_a_start_that_is_cancelled_leaves_nothing(
    start_kernel: StartKernel, kernelspec: KernelspecFolder, tmp_path: Path
) -> None:
    kernelspec("mute", [sys.executable, "-c", "import time; time.sleep(600)"])
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await start_kernel(kernelspec="mute")
    assert set(psutil.Process().children(recursive=True)) == before
    assert not list(tmp_path.glob("scratch*/.wire-*"))


async def test_a_program_that_is_not_there_is_reported(
    start_kernel: StartKernel, kernelspec: KernelspecFolder
) -> None:
    kernelspec("gone", ["/no/such/python"])
    with pytest.raises(KernelUnavailable, match="/no/such/python"):
        await start_kernel(kernelspec="gone")


async def test_a_kernel_that_takes_signals_is_interrupted_with_one(
    start_kernel: StartKernel, kernelspec: KernelspecFolder, outputs: Outputs
) -> None:
    kernelspec("signals", [sys.executable, "-m", "ipykernel_launcher"])
    kernel = await start_kernel(kernelspec="signals")
    outcome = await kernel.execute("import time; time.sleep(60)", outputs, timeout_s=0.5)
    assert outcome.status == "timeout"
    assert kernel.alive
    assert await kernel_says(kernel, "print(2)") == "2\n"


# --- values -----------------------------------------------------------------------------------


async def test_values_come_back_from_a_kernel_as_they_were_bound(
    start_kernel: StartKernel,
) -> None:
    kernel = await start_kernel(lane="gated")
    values = {
        "pool": "40",
        "ratio": "0.1",
        "big": str(2**70),
        "on": "true",
        "nothing": "null",
        "text": '"é \\u0000 \\" \' \\\\ \\n {x} %s"',
        "nested": '{"a":[1.5,null,{"b":[]}],"é":"x"}',
        "long": '"' + "x" * 60_000 + '"',
    }
    await kernel.bind(values)
    assert await kernel.read(values) == {**values, "text": '"é \\u0000 \\" \' \\\\ \\n {x} %s"'}
    assert await kernel_says(kernel, "print(pool + 2, nothing, on)") == "42 None True\n"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{1: 2}", "a key is of type int"),
        ("{1, 2}", "set is not JSON serializable"),
        ("float('nan')", "NaN or an infinity"),
        ("[1, float('inf')]", "NaN or an infinity"),
        ("'x' * 200_000", "too large"),
        ("'x' * 66_000", "65536 is the limit"),
        ("'\\ud800'", "not Unicode"),
        ("type('E', (), {'__getattr__': lambda s, n: 1 / 0})()", "not JSON serializable"),
    ],
)
async def test_what_json_cannot_say_is_refused_with_the_reason(
    start_kernel: StartKernel, outputs: Outputs, value: str, says: str
) -> None:
    kernel = await start_kernel()
    await kernel.execute(f"x = {value}", outputs)
    with pytest.raises(CommandRefused, match=says):
        await kernel.read(["x"])


async def test_a_missing_variable_is_named(start_kernel: StartKernel) -> None:
    kernel = await start_kernel()
    with pytest.raises(CommandRefused, match="no variable 'pool'"):
        await kernel.read(["pool"])


async def test_reading_and_binding_shows_nothing_and_keeps_the_count(
    start_kernel: StartKernel, outputs: Outputs
) -> None:
    kernel = await start_kernel()
    await kernel.bind({"x": "1"})
    await kernel.read(["x"])
    await kernel.execute(
        "print(len(In), [n for n in dir() if 'space' in n or 'export' in n])", outputs
    )
    assert outputs.text() == "2 []\n"


async def test_names_that_are_code_are_not_run(start_kernel: StartKernel) -> None:
    kernel = await start_kernel()
    for name in ("x;import os", "__import__('os')", "a b", "", "import"):
        with pytest.raises(RunbookError, match="not a name"):
            await kernel.read([name])
        with pytest.raises(RunbookError, match="not a name"):
            await kernel.bind({name: "1"})


# --- in the sandbox ---------------------------------------------------------------------------


async def test_a_kernel_works_behind_real_walls(
    start_kernel: StartKernel, outputs: Outputs, tmp_path: Path
) -> None:
    machine = this_machine()
    if machine is None:
        pytest.skip("this machine has no Landlock")
    kernel = await start_kernel(LandlockSandbox(machine), walls=Walls(memory=2**30))
    assert kernel.level == "process"
    outcome = await kernel.execute(f"open('{tmp_path}/outside', 'w')", outputs)
    assert outcome.status == "error"
    assert outcome.error.startswith("PermissionError")
    assert await kernel_says(kernel, "open('inside', 'w').write('x'); print('ok')") == "ok\n"
    assert "hi" in await kernel_says(kernel, "!echo hi")
    await kernel.bind({"x": "[1]"})
    assert await kernel.read(["x"]) == {"x": "[1]"}
    slept = await kernel.execute("import time; time.sleep(60)", outputs, timeout_s=0.5)
    assert slept.status == "timeout"
    assert kernel.alive
    daemonised = int(
        await kernel_says(
            kernel,
            "import subprocess\n"
            "print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)",
        )
    )
    await kernel.end()
    wait_until_gone(daemonised, 5)


async def test_one_kernel_cannot_read_another_s_keys(
    start_kernel: StartKernel, outputs: Outputs, tmp_path: Path
) -> None:
    machine = this_machine()
    if machine is None:
        pytest.skip("this machine has no Landlock")
    kernel = await start_kernel(LandlockSandbox(machine))
    secret = tmp_path / "scratch1" / "run" / "secret"
    secret.parent.mkdir(parents=True)
    secret.write_text("key")
    outcome = await kernel.execute(f"open('{secret}').read()", outputs)
    assert outcome.error.startswith("PermissionError")
