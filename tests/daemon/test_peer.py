"""Who somebody is, is the kernel's word: a real daemon, spoken to by two users of this machine."""

import grp
import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbookd.record.verify import verify
from tests.daemon.served import NOBODY, Served, as_nobody
from tests.session.world import LOOK, RESTART, notebook

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="speaking as another user of this machine needs root"
)

US = pwd.getpwuid(os.geteuid()).pw_name
THEM = pwd.getpwuid(NOBODY).pw_name
POLICY = f"""
version: 1
identities:
  - {{person: rita, os_user: {US}}}
  - {{person: noah, os_user: {THEM}}}
groups:
  commanders: {{people: [rita, noah]}}
rules:
  - name: all
    approve: {{by: [commanders]}}
"""
SLOW = {**RESTART, "source": "print('restarted')"}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A daemon that shares its socket with a group, on a machine with two people."""
    folder = Path(tempfile.mkdtemp(prefix="runbookd-test-", dir="/tmp"))
    folder.chmod(0o755)
    for name, content in (
        ("policies/all.yaml", POLICY.encode()),
        ("runbooks/checkout.ipynb", notebook(LOOK, SLOW)),
        ("elsewhere.ipynb", notebook(LOOK, SLOW)),
    ):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (folder / "runbooks" / "link.ipynb").symlink_to(folder / "elsewhere.ipynb")
    settings = {
        "socket": str(folder / "run" / "d.sock"),
        "socket_group": grp.getgrgid(NOBODY).gr_name,
    }
    made = Served(folder / "home", folder, settings)
    try:
        assert made.socket.name, made.said
        yield made
    finally:
        assert made.end() == 0
        shutil.rmtree(folder)


def nobody(served: Served, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    [answer] = as_nobody(served.socket, (method, path, body))
    return answer[0], answer[1]


def asked(served: Served) -> tuple[str, str]:
    """A session of rita's that waits for an approval: its id, and the request's."""
    status, info = served.call("POST", "/v1/sessions", {"runbook": "checkout.ipynb"})
    assert status == 201, info
    command = {"type": "run", "cell": "restart"}
    status, accepted = served.call("POST", f"/v1/sessions/{info['id']}/commands", command)
    assert status == 202, accepted
    return info["id"], accepted["request"]


def record(served: Served, session: str) -> list[dict[str, Any]]:
    path = served.home / "sessions" / session / "record.jsonl"
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.split("\n")]


FORGED = {
    "X_Forwarded_For": "1.2.3.4",
    "X_Forwarded_User": THEM,
    "X_Remote_User": THEM,
    "X_Real_IP": "uid",
    "Forwarded": "for=uid:65534",
    "Authorization": "Basic bm9ib2R5Og==",
    "Cookie": "uid=65534",
}


def test_each_user_is_who_the_kernel_says(served: Served) -> None:
    assert served.call("GET", "/v1/health")[1]["person"] == "rita"
    assert nobody(served, "GET", "/v1/health")[1]["person"] == "noah"
    assert served.call("GET", "/v1/health", **FORGED)[1]["person"] == "rita"


def test_another_user_approves_on_the_console_and_the_cell_runs(served: Served) -> None:
    session, request = asked(served)
    status, decided = nobody(
        served, "POST", f"/v1/approvals/{request}/decision", {"decision": "approve"}
    )
    assert (status, decided["accepted"], decided["state"]) == (200, True, "approved")
    command = {"type": "run", "cell": "restart"}
    status, accepted = served.call("POST", f"/v1/sessions/{session}/commands", command)
    assert (status, accepted["request"]) == (202, request)
    while served.call("GET", f"/v1/sessions/{session}")[1]["done"] == 0:
        pass
    lines = {line["type"]: line for line in record(served, session)}
    assert lines["approval.decided"]["actor"] == {
        "kind": "person",
        "id": "noah",
        "auth": "peercred",
    }
    assert lines["approval.claimed"]["actor"]["id"] == "rita"
    assert lines["approval.finished"]["data"]["status"] == "done"
    assert verify(served.home / "sessions" / session).ok


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_whoever_asked_does_not_decide_on_the_console(served: Served, decision: str) -> None:
    session, request = asked(served)
    body = {"decision": decision, "reason": "mine"}
    status, decided = served.call("POST", f"/v1/approvals/{request}/decision", body, **FORGED)
    assert (status, decided["accepted"], decided["state"]) == (200, False, "pending")
    assert "another person must" in decided["reason"]
    refused = [line for line in record(served, session) if line["type"] == "approval.refused"]
    assert [line["data"]["person"] for line in refused] == ["rita"]


@pytest.mark.parametrize("extra", ["person", "actor", "uid", "via", "digest", "user"])
def test_nobody_names_themselves_in_a_body(served: Served, extra: str) -> None:
    session, request = asked(served)
    body = {"decision": "approve", extra: "noah"}
    status, told = served.call("POST", f"/v1/approvals/{request}/decision", body)
    assert status == 400
    assert extra in told["message"]
    states = [each["id"] for each in served.call("GET", "/v1/approvals")[1]]
    assert request in states, session


def test_who_does_not_drive_only_takes_notes(served: Served) -> None:
    session, request = asked(served)
    for command in (
        {"type": "run", "cell": "look"},
        {"type": "revoke", "request": request},
        {"type": "adhoc", "source": "1 + 1"},
        {"type": "skip", "cell": "look", "reason": "known"},
        {"type": "interrupt"},
        {"type": "close"},
    ):
        status, told = nobody(served, "POST", f"/v1/sessions/{session}/commands", command)
        assert (status, told["exit_code"]) == (409, 1), command
        assert "rita drives this session" in told["message"]
    note = {"type": "note", "text": "I am watching"}
    assert nobody(served, "POST", f"/v1/sessions/{session}/commands", note)[0] == 202
    assert record(served, session)[-1]["actor"]["id"] == "noah"


@pytest.mark.parametrize("path", ["../elsewhere.ipynb", "link.ipynb", "{folder}/elsewhere.ipynb"])
def test_the_daemon_reads_no_file_outside_of_its_folder_for_another_user(
    served: Served, path: str
) -> None:
    runbook = {"runbook": path.format(folder=served.home.parent)}
    status, told = nobody(served, "POST", "/v1/sessions", runbook)
    assert (status, told["exit_code"]) == (400, 2)
    assert "outside of the daemon's runbooks" in told["message"]
    assert served.call("POST", "/v1/sessions", runbook)[0] == 201, "its own user may"


def test_another_user_opens_and_drives_a_session_of_their_own(served: Served) -> None:
    status, info = nobody(served, "POST", "/v1/sessions", {"runbook": "checkout.ipynb"})
    assert (status, info["driver"]) == (201, "noah")
    command = {"type": "run", "cell": "restart"}
    _, accepted = nobody(served, "POST", f"/v1/sessions/{info['id']}/commands", command)
    path = f"/v1/approvals/{accepted['request']}/decision"
    assert not nobody(served, "POST", path, {"decision": "approve"})[1]["accepted"]
    assert served.call("POST", path, {"decision": "approve"})[1]["accepted"]
