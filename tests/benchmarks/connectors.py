"""What a connector adds to a request: a hundred a second from one walled cell, and direct ones.

The proxy, its record and the kernel are real; the upstream is a process of its own that answers at
once. Both ways are taken in turn by the same cell, over a connection that stays open.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runbookd.clock import SystemClock
from runbookd.events import DAEMON, ConnectorData, ConnectorRequested
from runbookd.kernels.connectors import ConnectorProxy, ConnectorRule, Grant
from runbookd.kernels.kernel import Kernel, KernelOptions
from runbookd.kernels.outputs import KernelOutput
from runbookd.kernels.sandbox import Walls, probe
from runbookd.record.keys import load_or_create_key
from runbookd.record.redaction import Redactor
from runbookd.record.writer import RecordWriter
from tests.benchmarks.measure import say

REQUESTS = 300
A_SECOND = 100

_UPSTREAM = """
import asyncio
import json
async def serve(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\\r\\n\\r\\n")
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n"
                         b"Content-Length: 1000\\r\\n\\r\\n" + b"x" * 1000)
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

_CELL = """
import http.client, os, time
from urllib.parse import urlsplit

def way(address):
    url = urlsplit(address)
    return http.client.HTTPConnection(url.hostname, url.port), url.path

def timed(connection, base):
    began = time.perf_counter()
    connection.request("GET", base + "/orders")
    connection.getresponse().read()
    return time.perf_counter() - began

def both(requests, pause):
    ways = [way(os.environ["UPSTREAM_URL"]), way(os.environ["DIRECT_URL"])]
    times = [[], []]
    due = time.perf_counter()
    for _ in range(requests):
        for each, kept in zip(ways, times):
            kept.append(timed(*each))
        due += pause
        time.sleep(max(0, due - time.perf_counter()))
    return times
"""


@contextmanager
def _upstream() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", _UPSTREAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


async def connectors() -> None:
    """A request through a connector, recorded, against one straight to the same upstream."""
    through, direct = await _both_ways()
    say("connector", through, direct, f"direct, {A_SECOND} a second")
    added = statistics.median(through) - statistics.median(direct)
    print(f"{'':<16} {added * 1e3:5.2f} ms added to a request")


async def _both_ways() -> tuple[list[float], list[float]]:
    """Seconds of each request through a connector, and of each direct one."""
    with tempfile.TemporaryDirectory() as name, _upstream() as url:
        home = Path(name)
        writer = await RecordWriter.create(
            home / "session",
            log="bench/runbookd/session",
            key=load_or_create_key(home),
            clock=SystemClock(),
            redactor=Redactor({}, ()),
        )

        async def record(grant: Grant, data: ConnectorData) -> None:
            await writer.append(ConnectorRequested(data=data), actor=DAEMON)

        async def allow(grant: Grant, method: str, path: str) -> None:
            return

        async def resolve(reference: str) -> str:
            return f"Bearer {reference}"

        try:
            async with ConnectorProxy(record, allow, resolve) as proxy:
                rule = ConnectorRule(
                    name="upstream",
                    url=url,
                    allow=("GET /orders",),
                    headers={"Authorization": "env:TOKEN"},
                )
                return await _measured(proxy.grant("read-only", [rule], "bench"), url, home)
        finally:
            await writer.close()


async def _measured(grant: Grant, url: str, home: Path) -> tuple[list[float], list[float]]:
    sandbox, _ = await asyncio.to_thread(probe)
    ports = (grant.port, int(url.rpartition(":")[2]))
    walls = Walls(connect=tuple(("127.0.0.1", port) for port in ports))
    options = KernelOptions(
        "python3", "read-only", home / "scratch", walls, env={**grant.env, "DIRECT_URL": url}
    )

    async def ignore(output: KernelOutput) -> None:
        print(output.mimes.get("text/plain", ""), end="")

    kernel = await Kernel.start(options, sandbox)
    try:
        source = f"{_CELL}\nboth(20, 0)\ntimes = both({REQUESTS}, {1 / A_SECOND})"
        outcome = await kernel.execute(source, ignore, 120)
        assert outcome.status == "ok", outcome
        through, direct = json.loads((await kernel.read(["times"]))["times"])
    finally:
        await kernel.end()
    return through, direct
