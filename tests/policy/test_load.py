"""The policies folder: merged, checked, and refused with file and line."""

import subprocess
import sys
from pathlib import Path

import pytest

from runbookd.canonical import digest, sha256
from runbookd.errors import PolicyError
from runbookd.events import PolicyRef
from runbookd.policy.load import load_policies

EVERYTHING = """\
version: 1
identities:
  - {person: alice, os_user: alice, slack: U0ALICE}
  - {person: dana, slack: [U0DANA, U0DANA2]}
groups:
  commanders: {slack_usergroup: S0COMMAND, people: [dana]}
  leads: {people: [dana], os_groups: [wheel]}
rules:
  - name: production-remediation
    match: {environment: production, risk: [medium, high], service: "*", tags: []}
    when: "session.severity <= 2"
    approve:
      {by: [commanders], quorum: 2, expires: 15m, remind: 5m, escalate: {after: 10m, to: [leads]}}
    on_approval: run
    break_glass: {by: [leads], review_within: 24h}
connectors:
  checkout-admin:
    url: https://checkout.internal/
    credential: {header: Authorization, secret: "keyring:checkout/admin"}
    tls: {ca: /etc/ssl/internal.pem}
    read-only: ["GET /*"]
    gated: ["GET /*", "POST /admin/pool"]
lanes:
  read-only:
    {sandbox: enforced, timeout: 60s, memory: 1GiB, processes: 64, output: 64MiB, endpoints: []}
  gated:
    timeout: 5m
    memory: 512MiB
    writable: [/var/log/checkout]
    signals: false
    unix_sockets: []
    readable: [/srv/dumps]
    endpoints: ["db.internal:5432"]
    secrets: {PGPASSWORD: "keyring:db/fixer"}
redaction: {patterns: ["acme-[0-9a-f]{32}"]}
retention: {sessions: 400d}
"""


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def load(folder, text):
    return load_policies(write(folder, p="version: 1\n" + text))


def refusal(folder, text):
    with pytest.raises(PolicyError) as caught:
        load(folder, text)
    assert str(caught.value).startswith(str(folder / "p.yaml"))
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


def test_everything_that_the_design_shows_is_understood(tmp_path):
    policies = load_policies(write(tmp_path, all=EVERYTHING))
    alice, dana = policies.identities
    assert (alice.person, alice.os_user, alice.slack) == ("alice", ("alice",), ("U0ALICE",))
    assert dana.slack == ("U0DANA", "U0DANA2")
    assert policies.groups["commanders"].slack_usergroup == "S0COMMAND"
    (rule,) = policies.rules
    assert rule.match.environment == ("production",)
    assert rule.match.risk == ("medium", "high")
    assert (rule.approve.quorum, rule.approve.expires, rule.approve.remind) == (2, 900, 300)
    assert rule.approve.escalate.after == 600
    assert rule.on_approval == "run"
    assert rule.break_glass.review_within == 86400
    connector = policies.connectors["checkout-admin"]
    assert connector.url == "https://checkout.internal"
    assert connector.credential.secret == "keyring:checkout/admin"
    assert connector.tls.ca == Path("/etc/ssl/internal.pem")
    assert connector.allowed("read-only") == ("GET /*",)
    assert connector.allowed("gated") == ("GET /*", "POST /admin/pool")
    read_only, gated = policies.lanes.read_only, policies.lanes.gated
    assert (read_only.timeout, read_only.memory, read_only.output) == (60, 2**30, 2**26)
    assert (gated.timeout, gated.memory, gated.processes) == (300, 2**29, 64)
    assert gated.writable == (Path("/var/log/checkout"),)
    assert gated.readable == (Path("/srv/dumps"),)
    assert gated.endpoints == ("db.internal:5432",)
    assert gated.secrets == {"PGPASSWORD": "keyring:db/fixer"}
    assert policies.redaction.patterns == ("acme-[0-9a-f]{32}",)
    assert policies.retention.sessions == 400 * 86400


def test_what_is_left_out_is_strict(tmp_path):
    policies = load(
        tmp_path, "rules: [{name: r, approve: {by: x}}]\nconnectors: {c: {url: http://c}}"
    )
    (rule,) = policies.rules
    assert (rule.approve.quorum, rule.approve.expires, rule.on_approval) == (1, 900, "hold")
    assert policies.connectors["c"].allowed("gated") == ()
    assert policies.lanes.read_only.sandbox == "enforced"
    gated = policies.lanes.gated
    assert (gated.writable, gated.signals, gated.unix_sockets, gated.endpoints) == (
        (),
        False,
        (),
        (),
    )


def test_a_folder_that_is_empty_or_not_there_lets_nobody_do_anything(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        policies = load_policies(folder)
        assert (policies.groups, policies.rules, policies.connectors) == ({}, (), {})
        assert policies.lanes.read_only.sandbox == "enforced"
        assert policies.digest == digest({})


def test_the_digest_is_over_the_names_and_contents_of_all_files(tmp_path):
    a, b = "version: 1\n", "version: 1\ngroups: {x: {}}\n"
    policies = load_policies(write(tmp_path, a=a, b=b))
    assert policies.files == {"a.yaml": sha256(a), "b.yaml": sha256(b)}
    assert policies.digest == digest(policies.files)
    assert policies.ref == PolicyRef(digest=policies.digest, files=policies.files)
    (tmp_path / "a.yaml").write_text(a + "# a comment\n")
    assert load_policies(tmp_path).digest != policies.digest


def test_several_files_are_one_policy(tmp_path):
    one = "version: 1\nidentities: [{person: alice}]\ngroups: {a: {}}\n"
    one += "lanes: {gated: {timeout: 9s}}\n"
    two = "version: 1\nidentities: [{person: dana}]\ngroups: {b: {}}\n"
    two += "lanes: {read-only: {timeout: 8s}}\n"
    (tmp_path / "three.yml").write_text("version: 1\nredaction: {patterns: [x1]}\n")
    policies = load_policies(write(tmp_path, one=one, two=two))
    assert [each.person for each in policies.identities] == ["alice", "dana"]
    assert list(policies.groups) == ["a", "b"]
    assert (policies.lanes.gated.timeout, policies.lanes.read_only.timeout) == (9, 8)
    assert policies.redaction.patterns == ("x1",)


@pytest.mark.parametrize(
    ("one", "two", "problem"),
    [
        ("groups: {a: {}}", "groups:\n  a: {}", r"two.yaml, line 3: the group a is already in "),
        ("rules: [{name: r, approve: {by: x}}]",) * 2 + ("line 2: the rule r is already",),
        ("connectors: {c: {url: http://c}}",) * 2 + ("the connector c is already",),
        ("identities: [{person: a}]",) * 2 + ("the person a is already",),
        ("identities: [{person: a}]", "identities: [{person: A}]", "the person a is already"),
        (
            "identities: [{person: a, slack: U1}]",
            "identities: [{person: b, slack: U1}]",
            "the Slack user U1 is already",
        ),
        (
            "identities: [{person: a, os_user: x}]",
            "identities: [{person: b, os_user: x}]",
            "the OS user x is already",
        ),
        ("lanes: {gated: {}}",) * 2 + ("the lane gated is already",),
        ("lanes: {read-only: {}}",) * 2 + ("the lane read-only is already",),
        ("retention: {sessions: 1d}",) * 2 + ("the section retention is already",),
    ],
)
def test_what_two_files_both_say_is_refused(tmp_path, one, two, problem):
    write(tmp_path, one=f"version: 1\n{one}\n", two=f"version: 1\n{two}\n")
    with pytest.raises(PolicyError, match=problem) as caught:
        load_policies(tmp_path)
    assert f"{tmp_path}/one.yaml, line 2" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "identities: [{person: a, slack: U1}, {person: b, slack: U1}]",
        "identities: [{person: a, os_user: x}, {person: b, os_user: x}]",
        "identities: [{person: a}, {person: a}]",
        "identities: [{person: a, slack: [U1, U1]}]",
        "rules: [{name: r, approve: {by: x}}, {name: r, approve: {by: x}}]",
    ],
)
def test_what_one_file_says_twice_is_refused_even_on_one_line(tmp_path, text):
    assert "is already in" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("rulez: []", 2, 'unknown key "rulez"; did you mean "rules"?'),
        ("zzzzzz: []", 2, 'unknown key "zzzzzz"; known are version, identities'),
        ("lanes:\n  readonly: {}", 3, 'unknown key "readonly"; did you mean "read-only"?'),
        ("lanes:\n  read_only: {}", 3, 'unknown key "read_only"; did you mean "read-only"?'),
        ("lanes:\n  read-only:\n    writable: [/x]", 4, 'unknown key "writable"'),
        ("lanes:\n  read-only:\n    signals: true", 4, 'unknown key "signals"'),
        ("lanes:\n  gated:\n    sandbox: unenforced", 4, 'unknown key "sandbox"'),
        ("rules:\n  - name: r\n    aprove: {}", 4, 'unknown key "aprove"; did you mean "approve"?'),
        (
            "rules:\n  - name: r\n    approve:\n      by: [x]\n      quorom: 2",
            6,
            'unknown key "quorom"; did you mean "quorum"?',
        ),
        ("rules:\n  - name: r\n    match: {enviroment: x}\n    approve: {by: x}", 4, "environment"),
        (
            "rules:\n  - name: r\n    approve: {by: x}\n    evidence: {cells: [a], within: 1m}",
            5,
            'the key "evidence" is not supported yet; take it out',
        ),
        ("connectors:\n  c:\n    url: http://c\n    read_only: []", 5, 'did you mean "read-only"'),
        ("groups:\n  a: {peple: [x]}", 3, 'did you mean "people"'),
        ("identities:\n  - {person: a, os_usr: b}", 3, 'did you mean "os_user"'),
        ("redaction: {pattern: [x]}", 2, 'did you mean "patterns"'),
    ],
)
def test_an_unknown_key_names_file_line_and_what_was_meant(tmp_path, text, line, problem):
    found = refusal(tmp_path, text)
    assert f"p.yaml, line {line}: " in found
    assert problem in found


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("groups: [a]", 2, "groups: "),
        ("rules: {}", 2, "rules: "),
        ("rules:\n  - name: r", 3, 'the key "approve" is missing'),
        ("rules:\n  - approve: {by: x}", 3, 'the key "name" is missing'),
        ("rules:\n  - name: r\n    approve: {quorum: 2}", 4, 'the key "by" is missing'),
        ("rules:\n  - {name: r, approve: {by: x, quorum: 0}}", 3, "quorum: "),
        ("rules:\n  - {name: r, approve: {by: x, quorum: '2'}}", 3, "quorum: "),
        ("rules:\n  - {name: r, approve: {by: x, quorum: true}}", 3, "quorum: "),
        ("rules:\n  - {name: r, approve: {by: x, expires: 15}}", 3, "write a number with a unit"),
        (
            "rules:\n  - {name: r, approve: {by: x, expires: 15min}}",
            3,
            "write a number with a unit",
        ),
        ("rules:\n  - {name: r, approve: {by: x, expires: 0m}}", 3, "more than nothing"),
        ("rules:\n  - {name: r, approve: {by: x, expires: -5m}}", 3, "write a number with a unit"),
        ("rules:\n  - {name: r, approve: {by: x, expires: 999999999d}}", 3, "at most ten years"),
        ("rules:\n  - {name: r, approve: {by: x}, on_approval: yes}", 3, "'hold' or 'run'"),
        ("rules:\n  - {name: r, approve: {by: x}, match: {risk: [hi]}}", 3, "'low', 'medium' or"),
        ("rules:\n  - {name: r, approve: {by: x}, match: {risk: high}}", 3, "risk: "),
        ("rules:\n  - {name: r, approve: {by: x}, match: {service: ['']}}", 3, "service: "),
        (
            "rules:\n  - name: r\n    approve: {by: x}\n    when: 'a b'",
            5,
            "this is not a CEL expression",
        ),
        ("rules:\n  - {name: r, approve: {by: x}, when: ''}", 3, "when: "),
        ("rules:\n  - {name: 'a b', approve: {by: x}}", 3, "name: "),
        ("identities:\n  - {person: 'slack:U0ALICE'}", 3, "person: "),
        ("identities:\n  - {person: 'os:root'}", 3, "person: "),
        ("identities:\n  - {person: runbookd}", 3, "the name of the daemon itself"),
        ("identities:\n  - {person: аlice}", 3, "person: "),
        ("identities:\n  - {person: a, slack: alice}", 3, "slack: "),
        ("identities:\n  - {person: a, slack: U0a}", 3, "slack: "),
        ("identities:\n  - {person: a, os_user: 1000}", 3, "os_user: "),
        ("groups:\n  a: {slack_usergroup: U0ALICE}", 3, "slack_usergroup: "),
        ("groups:\n  a: {people: dana}", 3, "people: "),
        ("groups:\n  'a b': {}", 3, "a b: "),
        ("connectors:\n  Checkout: {url: http://c}", 3, "Checkout: "),
        ("connectors:\n  a_b: {url: http://c}", 3, "a_b: "),
        ("connectors:\n  c: {}", 3, 'the key "url" is missing'),
        ("connectors:\n  c: {url: 'ftp://c'}", 3, "url: write http"),
        ("connectors:\n  c: {url: 'https://'}", 3, "url: write http"),
        ("connectors:\n  c: {url: 'https://c:99999'}", 3, "url: write http"),
        ("connectors:\n  c: {url: 'https://c:0'}", 3, "url: write http"),
        ("connectors:\n  c: {url: 'https://c?x=1'}", 3, "url: write http"),
        ("connectors:\n  c: {url: 'https://c#x'}", 3, "url: write http"),
        ("connectors:\n  c: {url: 'https://a b'}", 3, "url: write http"),
        ("connectors:\n  c: {url: http://c, gated: ['POST']}", 3, "write a method"),
        ("connectors:\n  c: {url: http://c, gated: ['post /x']}", 3, "start with one of"),
        ("connectors:\n  c: {url: http://c, gated: ['* /x']}", 3, "start with one of"),
        ("connectors:\n  c: {url: http://c, gated: ['CONNECT /x']}", 3, "start with one of"),
        ("connectors:\n  c: {url: http://c, gated: ['GET x']}", 3, "write a method"),
        ("connectors:\n  c: {url: http://c, gated: ['GET /x?y=1']}", 3, "write a method"),
        ("connectors:\n  c: {url: http://c, gated: ['GET /a/../b']}", 3, "write a method"),
        ("connectors:\n  c: {url: http://c, gated: ['GET /a/..']}", 3, "write a method"),
        ("connectors:\n  c: {url: http://c, gated: ['GET //a']}", 3, "write a method"),
        ("connectors:\n  c: {url: http://c, gated: 'GET /x'}", 3, "gated: "),
        ("connectors:\n  c: {url: http://c, tls: {ca: internal.pem}}", 3, "an absolute path"),
        (
            "connectors:\n  c: {url: http://c, credential: {header: 'A B', secret: 'env:A'}}",
            3,
            "head",
        ),
        ("lanes:\n  gated: {timeout: 5}", 3, "write a number with a unit"),
        ("lanes:\n  gated: {memory: 1GB}", 3, "write a number with a unit"),
        ("lanes:\n  gated: {memory: 0B}", 3, "more than nothing"),
        ("lanes:\n  gated: {processes: 0}", 3, "processes: "),
        ("lanes:\n  gated: {signals: yes}", 3, "signals: "),
        ("lanes:\n  gated: {signals: 1}", 3, "signals: "),
        ("lanes:\n  gated: {writable: [/]}", 3, "the whole file system"),
        ("lanes:\n  gated: {writable: [//]}", 3, "the whole file system"),
        ("lanes:\n  gated: {writable: [var]}", 3, "an absolute path"),
        ("lanes:\n  gated: {writable: [/var/../etc]}", 3, "an absolute path"),
        ("lanes:\n  gated: {endpoints: [db]}", 3, "write a host and a port"),
        ("lanes:\n  gated: {endpoints: ['db:0']}", 3, "write a host and a port"),
        ("lanes:\n  gated: {endpoints: ['db:65536']}", 3, "write a host and a port"),
        ("lanes:\n  gated: {endpoints: ['*:5432']}", 3, "write a host and a port"),
        ("lanes:\n  gated: {endpoints: ['0::1:53']}", 3, "write a host and a port"),
        ("lanes:\n  gated: {secrets: {'A-B': 'env:A'}}", 3, "A-B: "),
        ("lanes:\n  read-only: {sandbox: no}", 3, "'enforced' or 'unenforced'"),
        ("lanes:\n  read-only: {sandbox: false}", 3, "'enforced' or 'unenforced'"),
        ("redaction: {patterns: ['(']}", 2, "not a regular expression"),
        ("redaction: {patterns: ['x*']}", 2, "matches nothing at all"),
        ("retention: {sessions: 400}", 2, "write a number with a unit"),
    ],
)
def test_a_wrong_value_names_file_and_line(tmp_path, text, line, problem):
    found = refusal(tmp_path, text)
    assert f"p.yaml, line {line}: " in found
    assert problem in found


@pytest.mark.parametrize(
    "text",
    [
        "connectors: {c: {url: http://c, credential: {header: A, secret: hunter2-secret}}}",
        "connectors: {c: {url: 'http://me:hunter2-secret@c'}}",
        "lanes: {gated: {secrets: {PGPASSWORD: hunter2-secret}}}",
        "lanes: {gated: {secrets: {PGPASSWORD: [hunter2-secret]}}}",
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_not_repeated(tmp_path, text):
    assert "hunter2" not in refusal(tmp_path, text)


@pytest.mark.parametrize("text", ["", "groups: {}\n", "version: 2\n", "version: '1'\n"])
def test_a_file_names_its_version(tmp_path, text):
    with pytest.raises(PolicyError, match="version"):
        load_policies(write(tmp_path, p=text))


@pytest.mark.parametrize("text", ["[1]", "text", "5"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(PolicyError, match=r"p\.yaml, line 1: "):
        load_policies(write(tmp_path, p=text))


def test_of_several_faults_the_first_is_named_and_the_others_counted(tmp_path):
    found = refusal(tmp_path, "groups: {a: {people: 5}}\nrules: {}\nlanes: 5\n")
    assert "line 2: " in found
    assert "(and 2 more)" in found


def test_hidden_and_other_files_are_passed_over(tmp_path):
    write(tmp_path, a="version: 1\n")
    (tmp_path / ".#a.yaml").write_text("broken: [")
    (tmp_path / "README.md").write_text("broken: [")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("broken: [")
    (tmp_path / "tests").mkdir()
    assert list(load_policies(tmp_path).files) == ["a.yaml"]


def test_a_policy_in_a_folder_below_is_refused_not_passed_over(tmp_path):
    (tmp_path / "prod").mkdir()
    (tmp_path / "prod" / "strict.yaml").write_text("version: 1\n")
    with pytest.raises(PolicyError, match=r"prod/strict\.yaml would not be read"):
        load_policies(tmp_path)


def test_a_file_that_cannot_be_read_is_refused_not_passed_over(tmp_path):
    (tmp_path / "a.yaml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PolicyError, match="cannot be read: No such file"):
        load_policies(tmp_path)


def test_a_policies_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "policies").write_text("version: 1\n")
    with pytest.raises(PolicyError, match="cannot be read: Not a directory"):
        load_policies(tmp_path / "policies")


def test_a_file_name_that_no_record_can_hold_is_refused(tmp_path):
    (tmp_path / "é.yaml").write_text("version: 1\n")
    with pytest.raises(PolicyError, match="not an ASCII name"):
        load_policies(tmp_path)


def test_what_a_file_puts_on_the_terminal_is_visible(tmp_path):
    assert refusal(tmp_path, '"\\e[2J": 1').isprintable()


def test_policies_without_conditions_do_not_pay_for_cel(tmp_path):
    write(tmp_path, p="version: 1\nrules: [{name: r, approve: {by: x}}]\n")
    code = (
        "import sys; from pathlib import Path; from runbookd.policy.load import load_policies;"
        "import runbookd.policy.decide, runbookd.policy.gates, runbookd.policy.check;"
        f"load_policies(Path({str(tmp_path)!r}));"
        "print({'celpy', 'keyring', 'rich', 'textual'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "set()", ended.stderr
