"""The connectors' proxy between real clients and real upstreams, all on loopback."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from runbookd.errors import InputError, PolicyError
from runbookd.events import ConnectorData
from runbookd.kernels.connectors import ConnectorRule, Grant
from tests.kernels.proxied import SECRET, Backend, Bench, address, raw, request, rule

# --- what passes ------------------------------------------------------------------------------


async def test_a_read_passes_with_the_credential_and_is_recorded(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)], execution="e1")
    answer = await client.get(address(grant) + "/orders/7?b=2&a=%7B1%7D&c=x+y")
    assert (answer.status_code, answer.text) == (200, "hello")
    [seen] = backend.seen
    assert (seen.method, seen.target) == ("GET", "/orders/7?b=2&a=%7B1%7D&c=x+y")
    assert seen.header("authorization") == [SECRET]
    assert seen.header("host") == [f"127.0.0.1:{backend.port}"]
    [event] = bench.events
    assert event.model_dump(exclude={"duration_ms"}) == {
        "execution": "e1",
        "lane": "read-only",
        "connector": "checkout-admin",
        "method": "GET",
        "path": "/orders/7",
        "status": 200,
        "bytes": 5,
        "refused": "",
    }
    assert 0 <= event.duration_ms < 5000
    assert bench.asked == []


async def test_an_upstream_s_base_path_goes_before_the_path(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    given = rule(backend, "GET /orders", url=backend.url + "/base/")
    grant = bench.proxy.grant("read-only", [given])
    assert (await client.get(address(grant) + "/orders")).status_code == 200
    assert backend.seen[0].target == "/base/orders"
    assert (await client.get(address(grant) + "/base/orders")).status_code == 403


async def test_a_body_is_passed_on_as_it_is_sized_or_chunked(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("gated", [rule(backend, "POST /admin/pool")])
    url = address(grant) + "/admin/pool"

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"y" * 10_000

    assert (await client.post(url, json={"size": 40})).status_code == 200
    assert (await client.post(url, content=parts())).status_code == 200
    assert (await client.post(url)).status_code == 200
    sized, chunked, empty = backend.seen
    assert json.loads(sized.body) == {"size": 40}
    assert sized.header("content-type") == ["application/json"]
    assert sized.header("content-length") == [str(len(sized.body))]
    assert chunked.body == b"y" * 500_000
    assert empty.body == b""
    assert bench.asked == [("POST", "/admin/pool")] * 3


async def test_head_and_empty_answers_pass(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    head = await client.head(address(grant) + "/x")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "5")
    for code in (204, 304, 404, 500):
        answer = await client.get(f"{address(grant)}/status/{code}")
        assert answer.status_code == code
    assert [event.status for event in bench.events] == [200, 204, 304, 404, 500]


async def test_a_long_path_is_recorded_whole_so_that_no_secret_in_it_is_cut(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    await client.get(address(grant) + "/" + "x" * 3000)
    assert [event.path for event in bench.events] == ["/" + "x" * 3000]


async def test_an_answer_is_streamed_while_it_is_made(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    async with client.stream("GET", address(grant) + "/stream") as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"first\n"
        assert bench.events == []
        backend.release.set()
        assert b"".join([part async for part in parts]) == b"last\n"
    assert [event.bytes for event in bench.events] == [11]


async def test_a_request_is_recorded_before_its_answer_is_complete(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    held = asyncio.Event()
    on_request = bench.on_request

    async def slowly(grant: Grant, data: ConnectorData) -> None:
        await held.wait()
        await on_request(grant, data)

    bench.on_request = slowly  # type: ignore[method-assign]
    grant = bench.proxy.grant("read-only", [rule(backend)])
    for target in ("/x", "/big", "/status/204", "/status/404"):
        held.clear()
        waiting = asyncio.create_task(client.get(address(grant) + target))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done, target
        held.set()
        await waiting


async def test_curl_and_urllib_work(bench: Bench, backend: Backend) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    url = address(grant) + "/big"
    curl = ["curl", "-sS", "--noproxy", "*", "-w", "%{http_code}", url]
    script = f"import urllib.request as u; print(len(u.urlopen({url!r}).read()))"
    said = await asyncio.to_thread(subprocess.check_output, curl, text=True)
    assert said == "x" * 200_000 + "200"
    said = await asyncio.to_thread(
        subprocess.check_output, [sys.executable, "-c", script], text=True, env={}
    )
    assert said == "200000\n"
    assert [event.bytes for event in bench.events] == [200_000, 200_000]


async def test_each_cell_s_requests_are_put_down_to_it(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)], execution="e1")
    await client.get(address(grant) + "/x")
    grant.execution = "e2"
    await client.get(address(grant) + "/x")
    assert [event.execution for event in bench.events] == ["e1", "e2"]


# --- what is refused --------------------------------------------------------------------------


async def test_a_mutating_request_is_refused_in_the_read_only_lane(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)], execution="e1")
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        answer = await client.request(method, address(grant) + "/admin/pool")
        assert answer.status_code == 403, method
        assert answer.headers["x-runbookd-refused"] == "1"
        why = (
            "runbookd: the read-only lane allows GET /* on checkout-admin; "
            f"{method} /admin/pool is refused"
        )
        assert answer.json() == {
            "error": why,
            "lane": "read-only",
            "connector": "checkout-admin",
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": why,
        }
    assert backend.seen == []
    answer = await raw(grant, request(grant, f"/{grant.token}/checkout-admin/x", "get"))
    assert b" 403 " in answer.split(b"\r\n")[0]
    assert backend.seen == []
    assert [event.status for event in bench.events] == [403] * 8
    assert all("is refused" in event.refused for event in bench.events)
    assert bench.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public//admin",
        "/public/%252e%252e/admin", "/public\\..\\admin", "/public/%5c..", "/public/.",
        "/public/x%00", "/public/..;/admin", "//admin", "/public/%0d%0aX-Y:z", "/public/x%2Fadmin",
    ],
)  # fmt: skip
async def test_a_path_that_is_not_plain_never_reaches_the_upstream(
    bench: Bench, backend: Backend, target: str
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend, "GET /public/*")])
    answer = await raw(grant, request(grant, f"/{grant.token}/checkout-admin{target}"))
    assert b"403 Forbidden" in answer.split(b"\r\n")[0]
    assert backend.seen == []
    assert len(bench.events) == 1


async def test_the_token_cannot_be_left_by_a_path(bench: Bench, backend: Backend) -> None:
    mine = bench.proxy.grant("read-only", [rule(backend, name="mine", allow=())])
    other = bench.proxy.grant("gated", [rule(backend, "POST /x")])
    for target in (
        f"/{mine.token}/mine/../../{other.token}/checkout-admin/x",
        f"/{mine.token}/../{other.token}/checkout-admin/x",
        f"/{mine.token}/checkout-admin/x",
    ):
        answer = await raw(mine, request(mine, target, "POST"))
        assert b" 403 " in answer.split(b"\r\n")[0], target
    assert backend.seen == []


@pytest.mark.parametrize("target", ["/", "/x", "/{wrong}/checkout-admin/x", "*", "x:80"])
async def test_without_a_token_nothing_is_there(
    bench: Bench, backend: Backend, target: str
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    wrong = target.replace("{wrong}", grant.token[:-1] + "_")
    method = "CONNECT" if target == "x:80" else "OPTIONS" if target == "*" else "GET"
    answer = await raw(grant, request(grant, wrong, method))
    assert b" 404 " in answer.split(b"\r\n")[0]
    assert grant.token.encode() not in answer
    assert (backend.seen, bench.events) == ([], [])


async def test_a_target_in_absolute_form_is_not_followed(bench: Bench, backend: Backend) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    for target in (
        f"http://127.0.0.1:{backend.port}/x",
        f"http://127.0.0.1:{grant.port}/{grant.token}/checkout-admin/x",
    ):
        answer = await raw(grant, request(grant, target))
        assert b" 404 " in answer.split(b"\r\n")[0]
    assert backend.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 0"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Content-Length: +5"],
        ["Content-Length: 5\tx"],
        ["Content-Length : 5"],
        ["X: a\rGET / HTTP/1.1"],
    ],
)
async def test_a_request_with_two_readings_of_its_length_is_refused(
    bench: Bench, backend: Backend, headers: list[str]
) -> None:
    grant = bench.proxy.grant("gated", [rule(backend, "POST /x")])
    hidden = f"GET /{grant.token}/checkout-admin/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    text = request(
        grant, f"/{grant.token}/checkout-admin/x", "POST", *headers, body="0\r\n\r\n" + hidden
    )
    answer = await raw(grant, text)
    assert answer.split(b" ", 2)[1] in (b"400", b"403", b"501"), answer
    assert backend.seen == []


async def test_a_request_to_be_taken_for_another_method_is_not_passed_on(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("gated", [rule(backend, "POST /x")])
    override = {
        "X-HTTP-Method-Override": "DELETE",
        "X-Method-Override": "DELETE",
        "X-HTTP-Method": "DELETE",
    }
    assert (await client.post(address(grant) + "/x", headers=override)).status_code == 200
    names = {name for name, _ in backend.seen[0].headers}
    assert not [name for name in names if "method" in name]
    for query in ("_method=DELETE", "%5Fmethod=DELETE"):
        answer = await client.post(address(grant) + "/x?" + query)
        assert answer.status_code == 403
    assert len(backend.seen) == 1


async def test_headers_of_the_cell_s_own_that_could_give_rights_stay_behind(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    sent = {
        "Authorization": "Bearer mine",
        "Proxy-Authorization": "Basic x",
        "Cookie": "session=stolen",
        "Host": "evil.example",
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=10.0.0.1",
        "X-Real-IP": "10.0.0.1",
        "Impersonate-User": "system:admin",
        "X-Remote-User": "root",
        "X-Original-URL": "/admin",
        "X-Rewrite-URL": "/admin",
        "TE": "trailers",
        "Keep-Alive": "x",
        "Expect": "100-continue",
        "Accept": "application/json",
        "Range": "bytes=0-3",
        "User-Agent": "cell/1",
    }
    await client.get(address(grant) + "/x", headers=sent)
    [seen] = backend.seen
    assert seen.header("authorization") == [SECRET]
    assert {name for name, _ in seen.headers} == {
        "authorization",
        "host",
        "accept",
        "accept-encoding",
        "range",
        "user-agent",
    }
    assert seen.header("host") == [f"127.0.0.1:{backend.port}"]


async def test_a_header_that_carries_the_credential_is_never_the_cell_s(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    given = rule(backend, headers={"Accept-Language": "env:TOKEN"})
    grant = bench.proxy.grant("read-only", [given])
    await client.get(address(grant) + "/x", headers={"Accept-Language": "de"})
    assert backend.seen[0].header("accept-language") == [SECRET]


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "SPDY/3.1"])
async def test_connections_are_not_upgraded(bench: Bench, backend: Backend, protocol: str) -> None:
    grant = bench.proxy.grant("gated", [rule(backend, "GET /*", "POST /*")])
    head = [
        f"GET /{grant.token}/checkout-admin/exec HTTP/1.1",
        "Host: x",
        "Connection: close, Upgrade",
        f"Upgrade: {protocol}",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    answer = await raw(grant, "\r\n".join(head) + "\r\n\r\n")
    assert b" 403 " in answer.split(b"\r\n")[0]
    assert backend.seen == []


async def test_a_connector_that_was_not_granted_is_refused(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    other = address(grant).replace("checkout-admin", "k8s")
    answer = await client.get(other + "/x")
    assert answer.status_code == 403
    assert "no connector 'k8s'" in answer.json()["error"]
    assert bench.events[0].connector == "k8s"


async def test_a_revoked_grant_is_unknown_and_what_it_had_under_way_ends(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("gated", [rule(backend)])
    async with client.stream("GET", address(grant) + "/stream") as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"first\n"
        grant.revoke()
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(parts)
    await asyncio.wait_for(backend.hung_up.wait(), 5)
    assert [event.bytes for event in bench.events] == [6]
    assert (await client.get(address(grant) + "/x")).status_code == 404
    assert len(backend.seen) == 1


# --- the way back -----------------------------------------------------------------------------


async def test_a_redirect_within_the_upstream_is_rewritten_and_checked_again(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend, "GET /redirect/*", "GET /ok")])
    start = address(grant) + "/redirect/x?"
    for location in ("/ok", f"{backend.url}/ok", "../ok", "/ok?a=1"):
        answer = await client.get(start + location)
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(f"/{grant.token}/checkout-admin/ok")
        followed = await client.get(start + location, follow_redirects=True)
        assert followed.text == "hello"
    refused = await client.get(start + "/forbidden", follow_redirects=True)
    assert refused.status_code == 403


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/x", "https://127.0.0.1/x", "//127.0.0.1:1/x", "http://localhost:1/",
        "file:///etc/passwd", "http://[bad", "ftp://x/",
    ],
)  # fmt: skip
async def test_a_redirect_to_elsewhere_is_refused(
    bench: Bench, backend: Backend, client: httpx.AsyncClient, location: str
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    answer = await client.get(address(grant) + "/redirect?" + location)
    assert answer.status_code == 502
    assert "location" not in answer.headers
    assert "redirects to another place" in answer.json()["error"]
    assert [event.status for event in bench.events] == [502]
    assert bench.events[0].refused


async def test_a_redirect_out_of_the_base_path_is_refused(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend, url=backend.url + "/base")])
    inside = await client.get(address(grant) + "/redirect?/base/x")
    assert inside.headers["location"] == f"/{grant.token}/checkout-admin/x"
    for location in ("/x", "/basement/x", "/base"):
        assert (await client.get(address(grant) + "/redirect?" + location)).status_code == 502


async def test_credentials_and_cookies_do_not_come_back(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    answer = await client.get(address(grant) + "/cookie")
    names = set(answer.headers)
    assert answer.headers["x-fine"] == "kept"
    assert not names & {"set-cookie", "x-echo", "x-hop", "x-runbookd-refused"}
    await client.get(address(grant) + "/x")
    assert backend.seen[1].header("cookie") == []
    assert "very-secret" not in str(bench.events)


async def test_an_upstream_that_is_not_there_is_a_502(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    grant = bench.proxy.grant("read-only", [rule(backend, url=f"http://127.0.0.1:{port}")])
    answer = await client.get(address(grant) + "/x")
    assert answer.status_code == 502
    assert "x-runbookd-refused" not in answer.headers
    assert "the upstream of checkout-admin could not be reached" in answer.json()["error"]
    assert [event.status for event in bench.events] == [502]


async def test_an_upstream_that_keeps_silent_is_a_504(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("gated", [rule(backend, "POST /slow", silence_s=1)])
    answer = await client.post(address(grant) + "/slow")
    assert answer.status_code == 504
    assert "took effect is unknown" in answer.json()["error"]
    assert [event.status for event in bench.events] == [504]


async def test_an_answer_that_breaks_off_breaks_off_for_the_cell_too(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(address(grant) + "/cut")
    assert [event.status for event in bench.events] == [200]


async def test_a_cell_that_hangs_up_ends_the_upstream_s_request(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    async with client.stream("GET", address(grant) + "/stream") as answer:
        assert await anext(answer.aiter_raw()) == b"first\n"
    async with asyncio.timeout(5):
        await backend.hung_up.wait()
        await bench.recorded.wait()
    assert [event.bytes for event in bench.events] == [6]


async def test_an_upstream_with_an_unknown_certificate_is_not_trusted(
    bench: Bench, backend: Backend, client: httpx.AsyncClient, tls_backend: "TlsBackend"
) -> None:
    async with tls_backend() as (url, authority):
        untrusted = bench.proxy.grant("read-only", [rule(backend, url=url)])
        answer = await client.get(address(untrusted) + "/x")
        assert answer.status_code == 502
        assert "certificate" in answer.json()["error"]
        trusted = bench.proxy.grant("read-only", [rule(backend, url=url, ca=authority)])
        assert (await client.get(address(trusted) + "/x")).text == "secure"


# --- failures of our own ----------------------------------------------------------------------


async def test_a_change_that_cannot_be_recorded_beforehand_is_not_passed_on(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    bench.fail_allow = True
    grant = bench.proxy.grant("gated", [rule(backend, "POST /x", "GET /x")])
    answer = await client.post(address(grant) + "/x", content=b"body")
    assert answer.status_code == 503
    assert "nothing was sent" in answer.json()["error"]
    assert backend.seen == []
    assert (await client.get(address(grant) + "/x")).status_code == 200


async def test_once_a_request_could_not_be_recorded_none_is_passed_on(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    bench.fail_record = True
    first = await client.get(address(grant) + "/status/204")
    assert first.status_code == 503
    bench.fail_record = False
    second = await client.get(address(grant) + "/x")
    assert second.status_code == 503
    assert len(backend.seen) == 1
    other = bench.proxy.grant("read-only", [rule(backend)])
    assert (await client.get(address(other) + "/x")).status_code == 200


async def test_an_answer_under_way_is_cut_when_it_cannot_be_recorded(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    bench.fail_record = True
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(address(grant) + "/big")


async def test_without_its_credential_a_request_is_not_passed_on(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    bench.secrets = {}
    grant = bench.proxy.grant("read-only", [rule(backend)])
    answer = await client.get(address(grant) + "/x")
    assert answer.status_code == 502
    assert backend.seen == []


@pytest.mark.parametrize("secret", ["tok\r\nX-Evil: 1", "tok\0", "tok\n"])
async def test_a_credential_that_is_no_header_is_neither_sent_nor_shown(
    bench: Bench, backend: Backend, client: httpx.AsyncClient, secret: str
) -> None:
    bench.secrets = {"env:TOKEN": secret}
    grant = bench.proxy.grant("read-only", [rule(backend)])
    answer = await client.get(address(grant) + "/x")
    assert answer.status_code == 502
    assert "tok" not in answer.text.replace("token", "")
    assert backend.seen == []


async def test_a_credential_is_resolved_for_each_request(
    bench: Bench, backend: Backend, client: httpx.AsyncClient
) -> None:
    grant = bench.proxy.grant("read-only", [rule(backend)])
    await client.get(address(grant) + "/x")
    bench.secrets["env:TOKEN"] = "Bearer rotated"
    await client.get(address(grant) + "/x")
    assert [seen.header("authorization") for seen in backend.seen] == [[SECRET], ["Bearer rotated"]]


async def test_a_proxy_in_the_daemon_s_environment_is_not_used(
    bench: Bench, backend: Backend, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    grant = bench.proxy.grant("read-only", [rule(backend)])
    assert (await client.get(address(grant) + "/x")).status_code == 200


def test_a_rule_that_makes_no_sense_is_refused(backend_rule: Callable[..., ConnectorRule]) -> None:
    with pytest.raises(PolicyError):
        Grant("read-only", "", [backend_rule(allow=("GET",))], 1)
    with pytest.raises(InputError):
        Grant("read-only", "", [backend_rule(), backend_rule()], 1)


@pytest.fixture
def backend_rule() -> Callable[..., ConnectorRule]:
    return lambda **more: ConnectorRule(**{"name": "x", "url": "http://127.0.0.1:1", **more})


TlsBackend = Callable[[], AbstractAsyncContextManager[tuple[str, Any]]]
