"""Which requests a connector lets through, decided on values alone."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookd.errors import PolicyError
from runbookd.kernels.paths import (
    Allowed,
    NotPlain,
    encoded,
    is_allowed,
    overrides_method,
    plain_path,
)


@pytest.mark.parametrize(
    ("rule", "method", "path", "allowed"),
    [
        ("GET /*", "GET", "/", True),
        ("GET /*", "GET", "/a/b/c", True),
        ("GET /*", "HEAD", "/a", True),
        ("GET /*", "POST", "/a", False),
        ("GET /*", "get", "/a", False),
        ("GET /*", "DELETE", "/a", False),
        ("GET /*", "OPTIONS", "/a", False),
        ("POST /admin/pool", "POST", "/admin/pool", True),
        ("POST /admin/pool", "POST", "/admin/pool/", False),
        ("POST /admin/pool", "POST", "/admin/pools", False),
        ("POST /admin/pool", "POST", "/x/admin/pool", False),
        ("POST /admin/pool", "GET", "/admin/pool", False),
        ("POST /admin/pool", "HEAD", "/admin/pool", False),
        ("GET /api/*", "GET", "/api", True),
        ("GET /api/*", "GET", "/api/v1/pods", True),
        ("GET /api/*", "GET", "/apix", False),
        ("GET /api/*/pods", "GET", "/api/v1/pods", True),
        ("GET /api/*/pods", "GET", "/api/v1/x/pods", False),
        ("GET /api/v*", "GET", "/api/v12", True),
        ("GET /api/v*", "GET", "/api/v1/x", False),
        ("GET /a.c", "GET", "/abc", False),
        ("GET /a/*", "GET", "/a/b\nc", True),
    ],
)
def test_a_rule_covers_its_verb_and_its_paths(
    rule: str, method: str, path: str, allowed: bool
) -> None:
    assert is_allowed([Allowed.parse(rule)], method, path) is allowed


def test_without_rules_nothing_is_allowed() -> None:
    assert not is_allowed([], "GET", "/")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_some_methods_are_never_allowed(method: str) -> None:
    assert not is_allowed([Allowed(method, "/*")], method, "/")
    with pytest.raises(PolicyError):
        Allowed.parse(f"{method} /*")


@pytest.mark.parametrize(
    "text",
    [
        "GET", "/*", "get /*", "* /*", "GET api", "GET  /a", "GET /a b", "GET /a/../b", "GET //a",
        "GET /%61", "GET /a?b", "GET /a#b", "GET /a\\b", "GET /a;b", "", "GET /*\n",
    ],
)  # fmt: skip
def test_a_rule_that_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        Allowed.parse(text)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/a/b", "/a/b"),
        (b"/a/", "/a/"),
        (b"/%61", "/a"),
        (b"/a%20b", "/a b"),
        (b"/%C3%A9", "/é"),
        (b"/a:b@c,d=e+f!$&'()*~", "/a:b@c,d=e+f!$&'()*~"),
        (b"/...", "/..."),
        (b"/.well-known/x", "/.well-known/x"),
    ],
)
def test_a_plain_path_is_decoded_once(raw: bytes, path: str) -> None:
    assert plain_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"a", b"*", b"http://other/a", b"//a", b"/a//b", b"//", b"/a//", b"/..", b"/a/..",
        b"/a/../b", b"/.", b"/a/./b", b"/%2e%2e/a", b"/%2E%2e", b"/.%2e/a", b"/%2e", b"/a%2fb",
        b"/a%2Fb", b"/a\\b", b"/a%5cb", b"/a%5C..%5Cb", b"/a%00", b"/a\x00b", b"/a%0d%0aX: y",
        b"/a%0a", b"/%252e%252e/a", b"/%2561", b"/a%25", b"/a%", b"/a%2", b"/a%zz", b"/a%u002e",
        b"/%c0%ae%c0%ae/a", b"/%ff", b"/a;b=c/d", b"/..;/a", b"/a%3bb", b"/a?b", b"/a%3fb",
        b"/a#b", b"/a%23b", b"/%e2%80%ae", b"/%e2%80%8b", b"/a%7f",
    ],
)  # fmt: skip
def test_a_path_that_two_programs_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(NotPlain):
        plain_path(raw)


@given(st.binary(max_size=30))
def test_whatever_is_let_through_is_sent_as_it_was_compared(raw: bytes) -> None:
    try:
        path = plain_path(b"/" + raw)
    except NotPlain:
        return
    sent = encoded(path)
    assert sent.isascii()
    assert unquote(sent) == path
    assert plain_path(sent.encode()) == path
    assert not any(bad in path for bad in ("//", "\\", "%", ";", "?", "#", "\0"))
    assert not {".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    ("query", "overrides"),
    [
        (b"_method=DELETE", True),
        (b"a=1&_METHOD=delete", True),
        (b"a=1;_method=delete", True),
        (b"%5fmethod=DELETE", True),
        (b"_method", True),
        (b"method=DELETE", False),
        (b"q=_method", False),
        (b"", False),
    ],
)
def test_a_query_may_not_ask_to_be_another_method(query: bytes, overrides: bool) -> None:
    assert overrides_method(query) is overrides
