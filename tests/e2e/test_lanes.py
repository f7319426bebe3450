"""What a responder sees when a read-only cell tries to change something."""

import os
from pathlib import Path

import pytest

from runbookd.api import CloseSession, RunAdhoc
from runbookd.client.client import DaemonClient
from runbookd.client.follow import following
from runbookd.drill import run

from .conftest import PrepareDrill


async def test_a_read_only_cell_changes_nothing_and_is_told_why(
    drills: PrepareDrill, tmp_path: Path
) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("untouched")
    bashrc = Path.home() / ".bashrc"
    before = bashrc.read_bytes() if bashrc.exists() else None
    async with drills() as drill, DaemonClient(drill.settings) as client:
        daemon = (await client.health()).pid
        attempts = {
            "write ~/.bashrc": f"open({str(bashrc)!r}, 'a').write('# runbookd was here')",
            "delete a file": f"import os; os.unlink({str(victim)!r})",
            "signal the daemon": f"import os; os.kill({daemon}, 15)",
            "POST to the admin connector": (
                "import os, urllib.request\n"
                "urllib.request.urlopen(os.environ['CHECKOUT_ADMIN_URL'] + '/admin/pool', "
                'data=b\'{"action":"reap"}\')'
            ),
            "read the daemon's key": (
                f"open({str(drill.settings.home / 'keys' / 'record.key')!r}).read()"
            ),
        }
        info = await client.open(drill.wanted())
        async with following(client, info.id) as follower:
            for name, source in attempts.items():
                accepted = await client.command(info.id, RunAdhoc(source=source))
                execution = accepted.execution or ""
                await follower.until(
                    lambda state, name=execution: (  # type: ignore[misc]
                        name in state.executions and state.executions[name].status is not None
                    ),
                    30,
                )
                done = follower.state.executions[execution]
                assert done.status == "error", (name, done)
                assert "read-only lane" in done.lane_hint, (name, done)
            accepted = await client.command(
                info.id, RunAdhoc(source="open('scratch.txt', 'w').write('mine')")
            )
            execution = accepted.execution or ""
            await follower.until(
                lambda state: (
                    execution in state.executions and state.executions[execution].status is not None
                ),
                30,
            )
            assert follower.state.executions[execution].status == "ok", "scratch is writable"
        await client.command(info.id, CloseSession())
        os.kill(daemon, 0)
        assert not await run.is_healthy(drill), "nobody reaped the pool"
    assert victim.read_text() == "untouched"
    assert (bashrc.read_bytes() if bashrc.exists() else None) == before


@pytest.mark.parametrize("flag", [[], ["--keep-going"]])
async def test_the_command_line_explains_the_lane_too(
    drills: PrepareDrill, tmp_path: Path, flag: list[str]
) -> None:
    import json
    import subprocess
    import sys

    from .conftest import notebook

    path = tmp_path / "writes.ipynb"
    path.write_text(
        json.dumps(notebook({"id": "w", "source": "open('/etc/runbookd-was-here', 'w')"}))
    )
    async with drills() as drill:
        done = subprocess.run(
            [sys.executable, "-m", "runbookd", "run", str(path), *flag],
            env={"PATH": os.environ["PATH"], "RUNBOOKD_HOME": str(drill.settings.home)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1, done.stderr
    assert "read-only lane" in done.stdout
    assert not Path("/etc/runbookd-was-here").exists()
