"""No secret gets through, in whatever form and in whatever pieces."""

import base64
import binascii
import html
import json
import time
import urllib.parse

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from runbookd.errors import InputError
from runbookd.record.redaction import KNOWN_TOKENS, Redactor

PIECE = st.integers(min_value=1, max_value=12)

SECRETS = st.one_of(
    st.text(min_size=6, max_size=40),
    st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789+/=&%\"'\\<> \n", min_size=6, max_size=40),
)

ENCODINGS = {
    "raw": lambda s: s,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64-1": lambda s: base64.b64encode(b"u" + s.encode() + b"x").decode(),
    "base64-2": lambda s: base64.b64encode(b"u:" + s.encode() + b"yz").decode(),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "base64url-1": lambda s: base64.urlsafe_b64encode(b"?" + s.encode()).decode(),
    "url": lambda s: urllib.parse.quote(s, safe=""),
    "url-path": urllib.parse.quote,
    "form": urllib.parse.quote_plus,
    "url-lower": lambda s: "".join(f"%{b:02x}" for b in s.encode()),
    "json": lambda s: json.dumps(s)[1:-1],
    "json-utf8": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "json-twice": lambda s: json.dumps(json.dumps(s))[3:-3],
    "repr": lambda s: repr(s)[1:-1],
    "html": html.escape,
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
}


def in_pieces(redactor: Redactor, text: str, sizes: list[int]) -> str:
    stream = redactor.stream()
    shown: list[str] = []
    at = number = 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        shown.append(stream.feed(text[at : at + size]))
        at, number = at + size, number + 1
    return "".join(shown) + stream.flush()


def core(form: str, encoding: str) -> str:
    """The part of a form that says something about the secret alone."""
    if encoding.startswith("base64"):
        return form.rstrip("=")[4:-3]
    return form


@settings(max_examples=400)
@given(
    SECRETS,
    st.sampled_from(sorted(ENCODINGS)),
    st.text(max_size=10),
    st.text(max_size=10),
    st.lists(PIECE, min_size=1, max_size=5),
)
@example('pa"ss\\wörd', "json-twice", "", "", [1])
def test_no_form_of_a_secret_gets_through(
    secret: str, encoding: str, before: str, after: str, sizes: list[int]
) -> None:
    secret = secret.strip()
    assume(len(secret) >= 6)
    redactor = Redactor({"env:TOKEN": secret})
    form = ENCODINGS[encoding](secret)
    text = before + form + after
    whole, rules = redactor.text(text)
    kept = core(form, encoding)
    assert "env:TOKEN" in rules
    assert len(kept) < 5 or kept not in whole
    assert "[redacted:env:TOKEN]" in whole
    assert in_pieces(redactor, text, sizes) == whole


@settings(max_examples=300)
@given(
    st.lists(st.text("abAB-", min_size=6, max_size=9), min_size=1, max_size=4),
    st.text("abAB-", max_size=60),
    st.lists(PIECE, min_size=1, max_size=5),
)
def test_overlapping_secrets_leave_no_rest(secrets: list[str], text: str, sizes: list[int]) -> None:
    redactor = Redactor({f"s{n}": secret for n, secret in enumerate(secrets)})
    whole, _ = redactor.text(text)
    assert not any(secret in whole for secret in secrets)
    assert in_pieces(redactor, text, sizes) == whole


TOKENS = {
    "slack-token": "xoxb-" + "1" * 12 + "-abcDEF",
    "slack-app-token": "xapp-1-A0123456789-abc",
    "slack-webhook": "hooks.slack.com/services/T0000/B0000/xxxxxxxx",
    "aws-key-id": "AKIA" + "ABCDEFGHIJKLMNOP",
    "aws-secret": "aws_secret_access_key = " + "a/b+" * 10,
    "github-token": "ghp_" + "a1" * 18,
    "gitlab-token": "glpat-" + "a" * 20,
    "vault-token": "hvs." + "a" * 24,
    "google-api-key": "AIza" + "b" * 35,
    "stripe-key": "sk_live_" + "c" * 24,
    "npm-token": "npm_" + "d" * 36,
    "pypi-token": "pypi-AgE" + "e" * 60,
    "api-key": "sk-" + "f" * 40,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_DEF-123",
    "authorization": "Authorization: Basic dXNlcjpwYXNz",
    "bearer": "Bearer abcdefghijklmnop.qrst",
    "connector-address": "127.0.0.1:40123/" + "aZ0_-" * 8 + "abc",
    "url-password": "://user:pa$$w0rd@",
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
}


SECRET = "hunter2-the-password"


@pytest.mark.parametrize("kept", range(1, 20))
def test_a_beginning_is_cut_only_after_its_secrets_are_out(kept: int) -> None:
    redactor = Redactor({"env": SECRET})
    clean = redactor.beginning("x" * (4096 - kept) + SECRET + " and more", 4096)
    assert clean == ("x" * (4096 - kept) + "[redacted:env] and more")[:4096]


@pytest.mark.parametrize("kept", range(1, len(SECRET)))
def test_where_looking_ends_no_half_of_a_secret_is_left(kept: int) -> None:
    long = "a-very-long-secret" * 2000
    redactor = Redactor({"long": long, "env": SECRET})
    # The first becomes one short mark, so that what stands behind it moves to the front.
    clean = redactor.beginning(long + "x" * (4096 + 32 * 1024 - len(long) - kept) + SECRET, 4096)
    assert SECRET[:kept] not in clean


def test_every_built_in_rule_is_tested() -> None:
    assert set(TOKENS) == {rule for rule, _ in KNOWN_TOKENS}


@pytest.mark.parametrize("rule", TOKENS)
def test_a_well_known_token_is_taken_out(rule: str) -> None:
    redactor = Redactor()
    clean, rules = redactor.text(f"see {TOKENS[rule]} here")
    assert clean == f"see [redacted:{rule}] here"
    assert rules == (rule,)
    for size in (1, 3, 7):
        assert in_pieces(redactor, f"see {TOKENS[rule]} here", [size]) == clean


@pytest.mark.parametrize(
    "token",
    [
        "github_pat_" + "a" * 30,
        "ASIA" + "ABCDEFGHIJKLMNOP",
        "xoxe.xoxp-1-" + "a" * 20,
        'authorization": "Bearer abcdef',
        "AUTHORIZATION=" + "x" * 16,
        "-----BEGIN PRIVATE KEY-----\\nMIIE\\nabc=\\n-----END PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nMIIEcut",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\nabc=\n"
        "-----END PGP PRIVATE KEY BLOCK-----",
    ],
)
def test_variants_of_tokens_are_taken_out_whole(token: str) -> None:
    clean, rules = Redactor().text(f"({token})")
    assert len(rules) == 1
    assert clean == f"([redacted:{rules[0]}])"


@pytest.mark.parametrize(
    "text",
    [
        "disk-usage-over-the-threshold-in-zone-a",
        "http://127.0.0.1:8080/api/v1/query?x=1",
        "GET https://checkout.internal:443/admin/pool user@example.com",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "authorization: denied by policy",
        "the bearer of bad news",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "2026-11-24T02:07:31.000000Z bastion/runbookd/20261124-020731-checkout-3f9a",
        "r-0123456789 x-0123456789abcdef",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor().text(text) == (text, ())
    assert in_pieces(Redactor(), text, [5]) == text


ALPHABET = [
    *("xox", "b-", "1234567890", "Bearer ", "eyJ", "abcdefghijklmnop", ".", "://", ":", "@", "\n"),
    *("-----BEGIN ", "PRIVATE KEY-----", "-----END PRIVATE KEY-----", " ", "AKIA", "sk-", "="),
    *("ABCDEFGHIJKLMNOP", "Authorization: ", "acme-", "0f0f", "hunter2", "-hunter2"),
]


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(ALPHABET), max_size=14).map("".join),
    st.lists(PIECE, min_size=1, max_size=5),
)
def test_a_stream_says_the_same_as_the_whole(text: str, sizes: list[int]) -> None:
    redactor = Redactor({"pw": "hunter2-hunter2"}, [("policy", r"acme-[0-9a-f]{4,8}\b")])
    assert in_pieces(redactor, text, sizes) == redactor.text(text)[0]


def test_a_stream_holds_back_only_what_may_become_a_secret() -> None:
    stream = Redactor({"pw": "hunter2-hunter2"}).stream()
    assert stream.feed("hello\n") == "hello\n"
    assert stream.feed("50 % ... hun") == "50 % ... "
    assert stream.feed("ger\n") == "hunger\n"
    assert stream.feed("hunter2-") == ""
    assert stream.feed("hunter2!") == "[redacted:pw]!"
    assert stream.feed("hunter2") == ""
    assert stream.flush() == "hunter2"
    assert stream.flush() == ""


def test_a_cut_private_key_does_not_get_through_at_the_end_of_a_stream() -> None:
    stream = Redactor().stream()
    assert stream.feed("key:\n-----BEGIN PRIVATE KEY-----\n") == "key:\n"
    assert stream.feed("MIIEvQIBADANBgkqhkiG9w0BAQ\n") == ""
    assert stream.flush() == "[redacted:private-key]"


def test_a_stream_learns_secrets_while_it_runs() -> None:
    redactor = Redactor()
    stream = redactor.stream()
    redactor.add("late", "hunter2-hunter2")
    assert stream.feed("hunter2-hunter2\n") == "[redacted:late]\n"


@pytest.mark.parametrize("value", ["", "short", "  short \n"])
def test_a_value_too_short_to_redact_is_refused_and_not_told(value: str) -> None:
    with pytest.raises(InputError, match="env:PIN is shorter than 6") as caught:
        Redactor({"env:PIN": value})
    assert "short " not in str(caught.value).replace("is shorter", "")
    with pytest.raises(InputError):
        Redactor().add("env:PIN", value)


def test_white_space_around_a_secret_does_not_hide_it() -> None:
    assert Redactor({"f": "hunter2-2\n"}).text("is hunter2-2!") == ("is [redacted:f]!", ("f",))


def test_a_rule_that_could_not_stand_in_a_mark_is_made_to_fit() -> None:
    redactor = Redactor({"exec:[ -f ü ]\n": "hunter2-2"})
    assert redactor.text("hunter2-2") == ("[redacted:exec:_ -f _ __]", ("exec:_ -f _ __",))


def test_a_second_pass_changes_nothing_and_names_the_same_rules() -> None:
    redactor = Redactor({"env:TOKEN": "hunter2-hunter2"})
    once = redactor.text("a hunter2-hunter2 b")
    assert redactor.text(once[0]) == once
    assert redactor.text("[redacted:made-up]") == ("[redacted:made-up]", ())


def test_two_secrets_of_one_rule_are_both_known() -> None:
    redactor = Redactor()
    redactor.add("env", "first-secret")
    redactor.add("env", "second-secret")
    assert redactor.text("first-secret second-secret")[0] == "[redacted:env] [redacted:env]"


def test_long_secrets_do_not_slow_a_stream_down() -> None:
    redactor = Redactor({f"s{n}": f"{n:04}".join("secret") * 20 for n in range(10)})
    stream = redactor.stream()
    begin = time.process_time()
    for _ in range(2_000):
        stream.feed("an ordinary line of output, as programs write them in great number\n" * 2)
    # 270 kB in small pieces: 0.3 s where it was measured.
    assert time.process_time() - begin < 5


def test_decoding_what_is_left_of_base64_gives_no_secret() -> None:
    secret = "hunter2-hunter2-hunter2"
    redactor = Redactor({"pw": secret})
    for before in range(3):
        encoded = base64.b64encode(b"u" * before + secret.encode()).decode()
        rest = redactor.text(encoded)[0].replace("[redacted:pw]", "")
        try:
            left = base64.b64decode(rest + "=" * (-len(rest) % 4))
        except binascii.Error:
            left = b""
        assert len(rest) <= 4 + 4
        assert not any(secret[n : n + 3].encode() in left for n in range(len(secret) - 2))
