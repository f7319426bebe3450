"""The runbook that ships with the drill, walked against the service that it is for."""

import asyncio
import contextlib
import io
import json
import urllib.request
from pathlib import Path

import nbformat
import pytest

from runbookd.drill.checkout.health import healthy
from runbookd.drill.checkout.server import serving

RUNBOOK = Path(__file__).parents[2] / "runbooks" / "checkout-latency.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return json.loads(RUNBOOK.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cells(notebook):
    return {cell["id"]: cell for cell in notebook["cells"]}


def test_it_is_a_valid_notebook_without_outputs(notebook):
    nbformat.validate(nbformat.from_dict(notebook))
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_it_fits_a_terminal_of_80_columns(notebook):
    for cell in notebook["cells"]:
        for line in "".join(cell["source"]).splitlines():
            assert len(line) < 80, line


def test_what_its_cells_refer_to_exists(notebook, cells):
    connectors = set(notebook["metadata"]["runbookd"]["connectors"])
    for cell in cells.values():
        about = cell["metadata"].get("runbookd", {})
        named = [*about.get("requires", [])]
        named += [about[key] for key in ("verify", "rollback") if key in about]
        assert set(named) <= cells.keys()
        assert set(about.get("connectors", [])) <= connectors
    assert cells["reap"]["metadata"]["runbookd"]["mode"] == "gated"
    assert cells["reaper-off"]["metadata"]["runbookd"]["mode"] == "gated"
    assert cells["status-page"]["metadata"]["runbookd"]["mode"] == "manual"


def run(cell, namespace, expect=None):
    """Run one cell in this process, as a kernel would in its own; what it printed."""
    printed = io.StringIO()
    source = "".join(cell["source"])
    with contextlib.redirect_stdout(printed), expect or contextlib.nullcontext():
        exec(compile(source, cell["id"], "exec"), namespace)
    return printed.getvalue()


@pytest.fixture
async def walk(tmp_path, monkeypatch, notebook):
    """The service, and the namespace of a fresh read-only kernel with the parameters."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    # In a session the connector adds the credential; here the opener does.
    opener.addheaders = [("Authorization", "Bearer s3cret")]
    monkeypatch.setattr(urllib.request, "urlopen", opener.open)
    async with serving(tmp_path / "checkout.log", "s3cret") as url:
        monkeypatch.setenv("CHECKOUT_URL", url)
        monkeypatch.setenv("CHECKOUT_ADMIN_URL", url)
        parameters = notebook["metadata"]["runbookd"]["parameters"]
        yield {"__name__": "__main__"} | {n: p["default"] for n, p in parameters.items()}


async def in_thread(*arguments, **keywords):
    return await asyncio.to_thread(run, *arguments, **keywords)


async def test_it_finds_the_cause_heals_the_service_and_proves_it(walk, cells):
    said = {}
    for name in ("setup", "symptom", "errors-by-code", "pool-usage", "log"):
        said[name] = await in_thread(cells[name], walk)
    assert "UNHEALTHY" in await in_thread(cells["symptom"], walk)
    assert "503" in said["errors-by-code"]
    assert "held by orders.apply_coupon" in said["pool-usage"]
    assert walk["leaked"] >= 15
    assert "request failed" in said["log"]

    about = cells["reap"]["metadata"]["runbookd"]
    gated = {"__name__": "__main__"} | {name: walk[name] for name in about["inputs"]}
    assert "reaped" in await in_thread(cells["reap"], gated)
    walk |= {name: json.loads(json.dumps(gated[name])) for name in about["outputs"]}
    assert walk["reap_result"] >= 10

    assert "healthy, and the reaper is on" in await in_thread(cells["verify"], walk)
    text = await asyncio.to_thread(walk["get"], walk["CHECKOUT"], "/metrics")
    assert healthy(text)


async def test_its_proof_fails_when_nothing_was_done(walk, cells):
    await in_thread(cells["setup"], walk)
    shorter = dict(cells["verify"])
    shorter["source"] = ["".join(shorter["source"]).replace("+ 30", "+ 2")]
    await in_thread(shorter, walk, expect=pytest.raises(RuntimeError, match="still unhealthy"))


async def test_its_rollback_switches_the_reaper_off(walk, cells):
    await in_thread(cells["setup"], walk)
    gated = {"__name__": "__main__", "leaked": 1, "leak_timeout": 5}
    await in_thread(cells["reap"], gated)
    assert "reaper on: False" in await in_thread(cells["reaper-off"], {"__name__": "__main__"})
    await in_thread(cells["pool-usage"], walk)
    assert walk["pool"]["reaper"] is False
