"""Real clients in walled cells, through connectors: curl, httpx, promtool, kubectl."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runbookd.events import ConnectorData
from runbookd.kernels.connectors import ConnectorProxy, ConnectorRule, Grant
from runbookd.kernels.kernel import Kernel, KernelOptions
from runbookd.kernels.outputs import KernelOutput
from runbookd.kernels.sandbox import Walls, probe
from tests.kernels.conftest import certified
from tests.kernels.proxied import Server

TOKEN = "a-token-of-the-cluster"

Cell = Callable[..., Awaitable[tuple[int, str, str]]]
"""Runs a command in a walled cell of the read-only lane: exit code, stdout, stderr."""

Walled = Callable[[ConnectorRule], Any]


def installed(name: str) -> str:
    """The path of a program; the tests need it, so that they fail where it is missing."""
    found = shutil.which(name)
    assert found is not None, f"{name} is not installed"
    return found


@asynccontextmanager
async def walled(
    rule: ConnectorRule, scratch: Path, token: str = ""
) -> AsyncIterator[tuple[Cell, Grant, list[ConnectorData]]]:
    """A kernel of the read-only lane that reaches nothing but this connector."""
    events: list[ConnectorData] = []

    async def record(grant: Grant, data: ConnectorData) -> None:
        events.append(data)

    async def allow(grant: Grant, method: str, path: str) -> None:
        return

    async def resolve(reference: str) -> str:
        return token

    async def ignore(output: KernelOutput) -> None:
        return

    sandbox, _ = await asyncio.to_thread(probe)
    async with ConnectorProxy(record, allow, resolve) as proxy:
        grant = proxy.grant("read-only", [rule])
        walls = Walls(connect=(("127.0.0.1", grant.port),))
        options = KernelOptions("python3", "read-only", scratch, walls, env=grant.env)
        kernel = await Kernel.start(options, sandbox)

        async def cell(*command: str) -> tuple[int, str, str]:
            source = (
                "import subprocess\n"
                f"done = subprocess.run({list(command)!r}, capture_output=True, text=True)\n"
                "said = [done.returncode, done.stdout, done.stderr]"
            )
            outcome = await kernel.execute(source, ignore, 60)
            assert outcome.status == "ok", outcome
            code, out, err = json.loads((await kernel.read(["said"]))["said"])
            return code, out, err

        try:
            yield cell, grant, events
        finally:
            await kernel.end()


# --- Prometheus -------------------------------------------------------------------------------


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[str]:
    """A real Prometheus on a free port, with nothing to scrape; its address."""
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {}\n")
    process = await asyncio.create_subprocess_exec(
        installed("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        "--log.format=json",
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert process.stderr is not None
    address = ""
    try:
        async with asyncio.timeout(60):
            ready = False
            while not (ready and address):
                said = json.loads(await process.stderr.readline())
                if said.get("msg") == "Listening on":
                    address = said["address"]
                ready = ready or said.get("msg", "").startswith("Server is ready")
        reading = asyncio.create_task(process.stderr.read())
        yield f"http://{address}"
        process.terminate()
        await reading
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_prometheus_is_asked_by_promtool_curl_and_httpx(
    prometheus: str, tmp_path: Path
) -> None:
    rule = ConnectorRule(
        name="prometheus",
        url=prometheus,
        # promtool asks by POST, and falls back to GET only where an upstream says 405.
        allow=("GET /api/v1/query", "POST /api/v1/query"),
    )
    async with walled(rule, tmp_path / "scratch") as (cell, grant, events):
        url = grant.env["PROMETHEUS_URL"]
        code, out, err = await cell(
            installed("promtool"), "query", "instant", url, "vector(40) + 2"
        )
        assert (code, out.split(" @")[0]) == (0, "{} => 42"), err
        code, out, err = await cell(
            "curl", "-sS", "-G", "--data-urlencode", "query=vector(6) * 7", f"{url}/api/v1/query"
        )
        assert json.loads(out)["data"]["result"][0]["value"][1] == "42", err
        script = (
            "import httpx, os; url = os.environ['PROMETHEUS_URL']\n"
            "print(httpx.get(url + '/api/v1/query', params={'query': 'vector(42)'}).json())\n"
            "print(httpx.post(url + '/api/v1/admin/tsdb/delete_series').status_code)"
        )
        code, out, err = await cell(sys.executable, "-c", script)
        assert "'42'" in out, err
        assert out.endswith("403\n"), err
    assert [(event.method, event.status, bool(event.refused)) for event in events] == [
        ("POST", 200, False),
        ("GET", 200, False),
        ("GET", 200, False),
        ("POST", 403, True),
    ]


# --- Kubernetes -------------------------------------------------------------------------------


def _resource(name: str, kind: str, verbs: list[str]) -> dict[str, Any]:
    return {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}


POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "checkout-1", "namespace": "shop", "uid": "1"},
    "spec": {"containers": [{"name": "checkout", "image": "checkout:1"}]},
    "status": {"phase": "Running"},
}
TABLE = {
    "kind": "Table",
    "apiVersion": "meta.k8s.io/v1",
    "metadata": {},
    "columnDefinitions": [
        {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
        {"name": "Status", "type": "string", "format": "", "description": "", "priority": 0},
    ],
    "rows": [{"cells": ["checkout-1", "Running"], "object": POD}],
}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
ANSWERS: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            _resource("pods", "Pod", VERBS),
            _resource("secrets", "Secret", VERBS),
            _resource("pods/exec", "PodExecOptions", ["create", "get"]),
        ],
    },
    "/api/v1/namespaces/shop/pods": {"kind": "PodList", "apiVersion": "v1", "items": [POD]},
    "/api/v1/namespaces/shop/pods/checkout-1": POD,
}


class Cluster:
    """What kubectl needs of an API server, for whoever has the token; notes what reaches it."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        self.asked.append((scope["method"], scope["path"]))
        status, answer = 200, ANSWERS.get(scope["path"])
        if headers.get(b"authorization") != f"Bearer {TOKEN}".encode():
            status, answer = 401, {"kind": "Status", "apiVersion": "v1", "code": 401}
        elif answer is None:
            status, answer = 404, {"kind": "Status", "apiVersion": "v1", "code": 404}
        elif "items" in answer and b"as=Table" in headers.get(b"accept", b""):
            answer = TABLE
        start = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": start})
        if b"watch=true" in scope["query_string"]:
            event = {"type": "ADDED", "object": {**TABLE, "rows": TABLE["rows"]}}
            line = json.dumps(event).encode() + b"\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """An HTTPS server with a certificate of its own authority, in ``cert.pem``."""
    made = Cluster()
    certificate, key = certified(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(made, ssl_certfile=certificate, ssl_keyfile=key)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await server.ready.wait()
        made.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        yield made
        server.should_exit = True
        await serving


@pytest.fixture
async def kubectl(
    cluster: Cluster, tmp_path: Path
) -> AsyncIterator[tuple[Cell, list[ConnectorData]]]:
    """kubectl in a cell, through a connector as the docs show one."""
    rule = ConnectorRule(
        name="k8s",
        url=cluster.url,
        headers={"Authorization": "env:TOKEN"},
        scheme="bearer",
        ca=tmp_path / "cert.pem",
        allow=(
            "GET /api",
            "GET /apis",
            "GET /api/v1",
            "GET /api/v1/namespaces/*/pods",
            "GET /api/v1/namespaces/*/pods/*",
            "GET /api/v1/namespaces/*/pods/*/log",
        ),
    )
    program = installed("kubectl")
    async with walled(rule, tmp_path / "scratch", TOKEN) as (cell, grant, events):

        async def run(*arguments: str) -> tuple[int, str, str]:
            server = f"--server={grant.env['K8S_URL']}"
            return await cell(program, server, "--namespace=shop", *arguments)

        yield run, events


async def test_kubectl_get_passes_without_the_cell_having_a_token(
    kubectl: tuple[Cell, list[ConnectorData]], cluster: Cluster
) -> None:
    run, events = kubectl
    code, out, err = await run("get", "pods")
    assert code == 0, err
    assert out.split() == ["NAME", "STATUS", "checkout-1", "Running"]
    code, out, err = await run("get", "pod", "checkout-1", "-o", "jsonpath={.status.phase}")
    assert (code, out) == (0, "Running"), err
    assert ("GET", "/api/v1/namespaces/shop/pods") in cluster.asked
    listed = [event for event in events if event.path == "/api/v1/namespaces/shop/pods"]
    assert [(event.status, event.refused) for event in listed] == [(200, "")]


async def test_kubectl_watches_until_it_is_ended(
    kubectl: tuple[Cell, list[ConnectorData]],
) -> None:
    run, _ = kubectl
    code, out, err = await run("get", "pods", "--watch", "--request-timeout=3s")
    assert "checkout-1" in out, (code, err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["delete", "pod", "checkout-1", "--wait=false"],
        ["delete", "--raw", "/api/v1/namespaces/shop/pods/checkout-1"],
        ["label", "pod", "checkout-1", "a=b"],
        ["exec", "checkout-1", "--", "true"],
        ["attach", "checkout-1"],
        ["port-forward", "checkout-1", ":80"],
        ["get", "secrets"],
        ["get", "--raw", "/api/v1/namespaces/shop/pods/checkout-1/proxy/"],
        ["get", "--raw", "/api/v1/namespaces/shop/pods/checkout-1/exec?command=true"],
        ["get", "--raw", "/api/v1/namespaces/shop/pods/../secrets"],
        ["get", "--raw", "/api/v1/namespaces/shop/pods/%2e%2e/secrets"],
    ],
    ids=" ".join,
)
async def test_what_kubectl_could_do_harm_with_is_refused(
    kubectl: tuple[Cell, list[ConnectorData]], cluster: Cluster, arguments: list[str]
) -> None:
    run, events = kubectl
    code, out, err = await run(*arguments)
    assert code != 0, out
    assert [event for event in events if event.refused], err
    harmless = {
        "/api", "/apis", "/api/v1",
        "/api/v1/namespaces/shop/pods", "/api/v1/namespaces/shop/pods/checkout-1",
    }  # fmt: skip
    assert {method for method, _ in cluster.asked} <= {"GET"}
    assert {path for _, path in cluster.asked} <= harmless


async def test_kubectl_shows_why_the_lane_refuses(
    kubectl: tuple[Cell, list[ConnectorData]],
) -> None:
    run, _ = kubectl
    _, _, err = await run("delete", "pod", "checkout-1", "--wait=false")
    assert "read-only lane" in err
