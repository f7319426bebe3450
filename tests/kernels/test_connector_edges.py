"""What a connector does with credentials, limits, broken connections and hostile messages."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.kernels.proxied import SECRET, Backend, Bench, address, raw, request, rule

TlsBackend = Callable[..., AbstractAsyncContextManager[tuple[str, Path]]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Scripted:
    """An upstream that answers each request with the next text, and then hangs up or waits."""

    url: str
    heads: list[bytes] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def scripted(*answers: bytes, wait: bool = False) -> AsyncIterator[Scripted]:
    """Answers are given over connections that stay open; an empty one is a connection cut."""
    left = list(answers)
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                made.heads.append(await reader.readuntil(b"\r\n\r\n"))
                made.begun.set()
                answer = left.pop(0) if left else b""
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
            if wait:
                await release.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made = Scripted(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield made
        release.set()


async def recorded(bench: Bench) -> None:
    async with asyncio.timeout(10):
        await bench.recorded.wait()


# --- credentials ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "secret", "sent"),
    [
        (None, "Bearer abc", "Bearer abc"),
        ("bearer", "abc", "Bearer abc"),
        (
            "basic",
            "reader:geheim:ß",
            "Basic " + base64.b64encode("reader:geheim:ß".encode()).decode(),
        ),
    ],
)
async def test_a_secret_becomes_the_header_that_its_scheme_asks_for(
    bench: Bench,
    backend: Backend,
    client: httpx.AsyncClient,
    scheme: str | None,
    secret: str,
    sent: str,
) -> None:
    bench.secrets = {"env:TOKEN": secret}
    grant = bench.proxy.grant("read-only", [rule(backend, scheme=scheme)])
    await client.get(address(grant) + "/x")
    assert backend.seen[0].header("authorization") == [sent]


async def test_a_credential_may_be_a_header_of_any_name(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    given = rule(backend, headers={"X-Api-Key": "env:TOKEN"})
    grant = bench.proxy.grant("read-only", [given])
    await client.get(address(grant) + "/x", headers={"X-Api-Key": "mine"})
    assert backend.seen[0].header("x-api-key") == [SECRET]
    assert backend.seen[0].header("authorization") == []


async def test_a_client_certificate_is_shown_to_an_upstream_that_asks_for_one(
    bench: Bench, backend: Backend, client: httpx.AsyncClient, tls_backend: TlsBackend
) -> None:
    async with tls_backend(clients=True) as (url, certificate):
        bench.secrets["file:/key"] = (certificate.parent / "key.pem").read_text()
        bare = rule(backend, url=url, ca=certificate)
        grant = bench.proxy.grant("read-only", [bare])
        assert (await client.get(address(grant) + "/x")).status_code == 502
        shown = rule(backend, url=url, ca=certificate, cert=certificate, key="file:/key")
        grant = bench.proxy.grant("read-only", [shown])
        assert (await client.get(address(grant) + "/x")).text == "secure"


async def test_a_private_key_that_cannot_be_had_is_told_and_nothing_is_sent(
    bench: Bench, backend: Backend, client: httpx.AsyncClient, tls_backend: TlsBackend
) -> None:
    async with tls_backend(clients=True) as (url, certificate):
        given = rule(backend, url=url, ca=certificate, cert=certificate, key="file:/none")
        grant = bench.proxy.grant("read-only", [given])
        answer = await client.get(address(grant) + "/x")
    assert answer.status_code == 502
    assert "nothing was sent" in answer.json()["error"]


# --- limits -----------------------------------------------------------------------------------


async def test_a_body_that_is_too_long_is_refused_whether_or_not_it_says_so(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("gated", [rule(backend, "POST /x", max_request=1000)])

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"y" * 300

    assert (await client.post(address(grant) + "/x", content=b"y" * 1000)).status_code == 200
    sized = await client.post(address(grant) + "/x", content=b"y" * 1001)
    chunked = await client.post(address(grant) + "/x", content=parts())
    for answer in (sized, chunked):
        assert answer.status_code == 413
        assert answer.headers["x-runbookd-refused"] == "1"
        assert "the gated lane sends at most 1000 bytes" in answer.json()["error"]
    assert [len(seen.body) for seen in backend.seen if len(seen.body) >= 1000] == [1000]
    assert [event.status for event in bench.events] == [200, 413, 413]


async def test_an_answer_that_is_too_long_is_cut_off(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend, max_answer=8)])
    answer = await client.get(address(grant) + "/big")
    assert answer.status_code == 502
    assert "more than 8 bytes" in answer.json()["error"]
    async with client.stream("GET", address(grant) + "/stream") as begun:
        parts = begun.aiter_raw()
        assert await anext(parts) == b"first\n"
        backend.release.set()
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(parts)
    assert [event.status for event in bench.events] == [502, 200]


async def test_a_request_ends_when_its_whole_time_is_over(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend, total_s=1)])
    async with client.stream("GET", address(grant) + "/stream") as answer:
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in answer.aiter_raw():
                pass
    await asyncio.wait_for(backend.hung_up.wait(), 5)
    assert [event.bytes for event in bench.events] == [6]


# --- messages ---------------------------------------------------------------------------------


async def test_headers_that_the_cell_s_connection_names_stay_behind(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    headers = {"Connection": "close, Range, Authorization", "Range": "bytes=0-1"}
    await client.get(address(grant) + "/x", headers=headers)
    assert backend.seen[0].header("range") == []
    assert backend.seen[0].header("authorization") == [SECRET], "ours is not the cell's to drop"


async def test_an_answer_with_two_readings_of_its_length_is_read_as_chunked_or_not_at_all(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    both = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\n"
    )
    async with scripted(both) as upstream:
        grant = bench.proxy.grant("read-only", [rule(backend, url=upstream.url)])
        answer = await client.get(address(grant) + "/x")
    assert (answer.status_code, answer.text) == (200, "hello") or answer.status_code == 502
    assert "100" not in answer.headers.get_list("content-length")
    assert len(bench.events) == 1


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
async def test_what_reaches_further_than_a_request_is_refused_even_where_all_is_allowed(
    bench: Bench, backend: Backend, method: str
) -> None:
    grant = bench.proxy.grant("gated", [rule(backend, "GET /*", "POST /*")])
    answer = await raw(grant, request(grant, f"/{grant.token}/checkout-admin/x", method))
    assert b" 403 " in answer.split(b"\r\n")[0]
    assert backend.seen == []
    assert [event.status for event in bench.events] == [403]


async def test_http_2_from_the_start_is_not_spoken(bench: Bench, backend: Backend) -> None:
    grant = bench.proxy.grant("gated", [rule(backend, "GET /*")])
    answer = await raw(grant, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 30)
    assert answer.split(b" ")[1] in {b"400", b"404"}
    assert backend.seen == []


async def test_a_method_override_in_a_query_is_refused_in_the_read_only_lane(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    for query in ("_method=DELETE", "a=1&_METHOD=delete", "%5Fmethod=PUT"):
        answer = await client.get(address(grant) + "/x?" + query)
        assert answer.status_code == 403
        assert "another method" in answer.json()["error"]
    assert backend.seen == []


async def test_an_upstream_s_own_refusal_is_not_taken_for_the_lane_s(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend, "GET /status/*")])
    theirs = await client.get(address(grant) + "/status/403")
    ours = await client.get(address(grant) + "/other")
    assert (theirs.status_code, ours.status_code) == (403, 403)
    assert "x-runbookd-refused" not in theirs.headers
    assert ours.headers["x-runbookd-refused"] == "1"
    assert "GET /status/*" in ours.json()["error"]
    assert [bool(event.refused) for event in bench.events] == [False, True]


# --- broken connections: one event a request --------------------------------------------------


async def test_a_change_is_sent_once_though_its_connection_breaks(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    async with scripted(OK, b"", OK) as upstream:
        given = rule(backend, "GET /x", "DELETE /x", url=upstream.url)
        grant = bench.proxy.grant("gated", [given])
        assert (await client.get(address(grant) + "/x")).text == "ok"
        answer = await client.delete(address(grant) + "/x")
    assert answer.status_code == 502
    assert "the upstream of checkout-admin broke off" in answer.json()["error"]
    assert "took effect is unknown" in answer.json()["error"]
    assert [head.split(b" ")[0] for head in upstream.heads] == [b"GET", b"DELETE"]
    assert [event.status for event in bench.events] == [200, 502]


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 999999 Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: spdy\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x01\x02\r\nContent-Length: 0\r\n\r\n",
    ],
)  # fmt: skip
async def test_whatever_an_upstream_answers_there_is_one_event_and_an_end(
    bench: Bench, backend: Backend, answer: bytes
) -> None:
    async with scripted(answer) as upstream:
        given = rule(backend, url=upstream.url, silence_s=2)
        grant = bench.proxy.grant("read-only", [given])
        await raw(grant, request(grant, f"/{grant.token}/checkout-admin/x"))
    assert len(bench.events) == 1


async def test_a_cell_that_hangs_up_before_the_answer_is_one_event(
    bench: Bench, backend: Backend
) -> None:
    async with scripted(b"HTTP/1.1 100 Continue\r\n\r\n", wait=True) as upstream:
        grant = bench.proxy.grant("read-only", [rule(backend, url=upstream.url)])
        _, writer = await asyncio.open_connection("127.0.0.1", grant.port)
        writer.write(request(grant, f"/{grant.token}/checkout-admin/x").encode())
        await asyncio.wait_for(upstream.begun.wait(), 10)
        writer.close()
        await recorded(bench)
    assert [event.status for event in bench.events] == [499]


async def test_a_cell_that_hangs_up_in_the_middle_of_its_body_is_one_event(
    bench: Bench, backend: Backend
) -> None:
    async with scripted(wait=True) as upstream:
        given = rule(backend, "POST /x", url=upstream.url)
        grant = bench.proxy.grant("gated", [given])
        _, writer = await asyncio.open_connection("127.0.0.1", grant.port)
        head = request(grant, f"/{grant.token}/checkout-admin/x", "POST", "Content-Length: 100")
        writer.write(head.encode() + b"half")
        await asyncio.wait_for(upstream.begun.wait(), 10)
        writer.close()
        await recorded(bench)
    assert [event.status for event in bench.events] == [499]


async def test_a_grant_that_is_revoked_before_an_answer_ends_its_request_with_one_event(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("gated", [rule(backend, "POST /slow")])
    asking = asyncio.create_task(client.post(address(grant) + "/slow"))
    async with asyncio.timeout(10):
        while not backend.seen:
            await asyncio.sleep(0)
    grant.revoke()
    assert (await asking).status_code == 503
    assert [event.status for event in bench.events] == [499]
