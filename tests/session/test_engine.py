"""A session at work, with a real record and kernels that only log."""

from runbookd.api import RunCell
from tests.session.world import FIX, LOOK, Daemon, Ground, notebook


async def test_an_approved_cell_runs_once_with_the_inputs_that_were_approved(
    daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(notebook(LOOK, FIX))
    asked = await daemon.command(session, RunCell(cell="fix"))
    decided = await daemon.console(asked.request, "dana")
    assert decided.accepted, decided
    ground.values["target"] = "999"
    await daemon.command(session, RunCell(cell="fix"))
    state = await daemon.settled(session)
    assert state.requests[asked.request].state == "done"
    assert [(ran.source, ran.bound) for ran in ground.gated] == [
        ("resize(target)", {"target": "40"})
    ]
