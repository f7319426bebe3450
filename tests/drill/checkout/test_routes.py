import httpx
import pytest

from runbookd.drill.checkout.health import healthy, samples
from runbookd.drill.checkout.server import serving

from .conftest import FAST

TOKEN = {"Authorization": "Bearer s3cret"}


@pytest.fixture
async def http(tmp_path):
    async with (
        serving(tmp_path / "checkout.log", "s3cret", tuning=FAST) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/pool"),
        ("GET", "/admin/config"),
        ("GET", "/admin/log"),
        ("POST", "/admin/pool"),
        ("POST", "/admin/restart"),
    ],
)
async def test_the_admin_api_wants_its_token(http, method, path):
    for header in (None, "Bearer", "Bearer wrong", "s3cret", "Basic s3cret"):
        headers = {} if header is None else {"Authorization": header}
        answer = await http.request(method, path, headers=headers)
        assert answer.status_code == 401, header
        assert "s3cret" not in answer.text


async def test_the_pool_tells_who_holds_the_connections(http):
    pool = (await http.get("/admin/pool", headers=TOKEN)).json()
    assert pool["max"] == 20
    assert pool["leaked"] >= 15
    assert max(pool["holders"], key=pool["holders"].get) == "orders.apply_coupon"
    assert pool["reaper"] is False


WRONG_CHANGES = [
    {},
    [],
    {"action": "explode"},
    {"action": "resize"},
    {"action": "resize", "max": 0},
    {"action": "resize", "max": 10**6},
    {"action": "resize", "max": "30"},
    {"action": "resize", "max": True},
    {"action": "reap", "max": 3},
    {"reaper": True},
    {"reaper": "on", "leak_timeout": 0},
    {"reaper": "on", "leak_timeout": 2.5},
    {"reaper": "on", "leak_timeout": 61},
    {"reaper": "on", "leak_timeout": True},
    {"reaper": "on", "max": 3},
    {"reaper": "on", "unknown": 1},
]


async def test_a_change_that_makes_no_sense_is_refused_and_changes_nothing(http):
    before = (await http.get("/admin/config", headers=TOKEN)).json()
    for body in WRONG_CHANGES:
        answer = await http.post("/admin/pool", json=body, headers=TOKEN)
        assert answer.status_code == 400, body
        assert answer.json()["error"]
    assert (await http.get("/admin/config", headers=TOKEN)).json() == before


async def test_each_remedy_reports_what_it_did(http):
    async def change(body):
        answer = await http.post("/admin/pool", json=body, headers=TOKEN)
        assert answer.status_code == 200
        return answer.json()

    on = await change({"reaper": "on", "leak_timeout": 1})
    assert (on["reaper"], on["pool"]["leak_timeout"]) == (True, 1)
    assert (await change({"action": "reap"}))["reaped"] >= 0
    assert (await change({"action": "resize", "max": 30}))["pool"]["max"] == 30
    assert (await change({"reaper": "off"}))["pool"]["reaper"] is False


async def test_orders_go_over_http_and_count_in_the_metrics(http):
    await http.post("/admin/restart", headers=TOKEN)
    assert (await http.get("/healthz")).status_code == 503
    await http.post("/admin/pool", json={"reaper": "on", "leak_timeout": 1}, headers=TOKEN)
    while (await http.get("/healthz")).status_code != 200:
        pass
    placed = await http.post("/orders", json={"item": "grinder"})
    assert placed.status_code == 201
    found = await http.get(f"/orders/{placed.json()['id']}")
    assert found.json() == placed.json()
    assert (await http.get("/orders/o-0")).status_code == 404
    assert (await http.post("/orders", json={"item": 3})).status_code == 400
    assert (await http.post("/orders", content=b"{")).status_code == 400
    metrics = samples((await http.get("/metrics")).text)
    assert metrics['checkout_requests_total{code="201"}'] >= 1
    assert metrics['checkout_requests_total{code="404"}'] >= 1


async def test_the_metrics_name_everything_a_runbook_needs(http):
    text = (await http.get("/metrics")).text
    names = {name.split("{")[0] for name in samples(text)}
    assert names >= {
        "checkout_request_duration_seconds_bucket",
        "checkout_requests_total",
        "checkout_pool_connections",
        "checkout_pool_wait_seconds_count",
        "checkout_pool_leaked_total",
        "checkout_pool_waiters",
        "checkout_latency_p95_seconds",
        "checkout_error_ratio",
        "checkout_config_reaper_enabled",
        "process_start_time_seconds",
    }
    assert not healthy(text)


async def test_the_log_can_be_read_through_the_admin_api(http):
    lines = (await http.get("/admin/log?lines=3", headers=TOKEN)).json()["lines"]
    assert lines[0]["event"] == "service started"
    for wrong in ("0", "501", "x", "-1"):
        answer = await http.get(f"/admin/log?lines={wrong}", headers=TOKEN)
        assert answer.status_code == 400
