"""The drill from the command line, as CI and a curious newcomer run it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from runbookd.approvals.request import RequestDocument, document_digest
from runbookd.record.verify import verify

Lines = list[dict[str, Any]]


def drill(home: Path, *flags: str) -> tuple[int, Lines, str]:
    """Run a headless drill; its exit code, recorded lines and what it told people."""
    done = subprocess.run(
        [sys.executable, "-m", "runbookd", "drill", "--headless", "--json", *flags],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "RUNBOOKD_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=100,
        cwd=home.parent,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def of(lines: Lines, kind: str) -> Lines:
    return [line for line in lines if line["type"] == kind]


def folder_of(lines: Lines, home: Path) -> Path:
    return home / "drill" / "sessions" / lines[0]["log"].rpartition("/")[2]


def test_an_approved_drill_heals_the_service_and_leaves_a_record_that_verifies(home: Path) -> None:
    code, lines, said = drill(home)
    assert code == 0, said
    assert "the service is healthy" in said
    assert lines[0]["data"]["drill"] is True

    folder = folder_of(lines, home)
    stored = [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]
    assert stored[: len(lines)] == lines, "what was printed is what is recorded"
    report = verify(folder)
    assert report.ok, report.lines()

    [requested] = of(stored, "approval.requested")
    [decided] = of(stored, "approval.decided")
    [claimed] = of(stored, "approval.claimed")
    [gated] = [line for line in of(stored, "cell.started") if line["data"]["lane"] == "gated"]
    [finished] = [line for line in of(stored, "cell.finished") if line["cell"] == gated["cell"]]
    calls = [line for line in of(stored, "connector.request") if line["data"]["lane"] == "gated"]
    order = [requested, decided, claimed, gated, *calls, finished]
    assert [line["seq"] for line in order] == sorted(line["seq"] for line in order)

    document = RequestDocument.model_validate(requested["data"]["document"])
    assert document_digest(document) == requested["data"]["digest"] == claimed["data"]["digest"]
    assert decided["data"]["person"] == "dana"
    assert decided["data"]["person"] != requested["data"]["requester"] == "you"

    posts = [call["data"] for call in calls if call["data"]["method"] == "POST"]
    assert posts, "every change of the service went through the connector"
    assert {call["connector"] for call in posts} == {"checkout-admin"}
    assert all(call["status"] == 200 and not call["refused"] for call in posts)


def test_a_denied_drill_ends_with_3_and_leaves_the_service_untouched(home: Path) -> None:
    code, lines, said = drill(home, "--decide", "deny")
    assert code == 3, said
    assert "the service is not healthy" in said
    [decided] = of(lines, "approval.decided")
    assert decided["data"]["decision"] == "deny"
    assert decided["data"]["reason"]
    assert not of(lines, "approval.claimed")
    assert {line["data"]["lane"] for line in of(lines, "cell.started")} == {"read-only"}
    assert {line["data"]["method"] for line in of(lines, "connector.request")} == {"GET"}
    assert verify(folder_of(lines, home)).ok


def test_the_requester_pressing_approve_is_refused_and_the_request_stays_pending(
    home: Path,
) -> None:
    code, lines, said = drill(home, "--decide", "self", "--approval-timeout", "3")
    assert code == 3, said
    [refused] = of(lines, "approval.refused")
    assert refused["data"]["person"] == "you"
    assert not of(lines, "approval.decided")
    [revoked] = of(lines, "approval.revoked")
    assert revoked["seq"] > refused["seq"], "it stayed pending until the walk gave up"
    assert "executed" not in said
    assert {line["data"]["lane"] for line in of(lines, "cell.started")} == {"read-only"}


def test_no_secret_of_the_drill_is_anywhere_below_its_sessions(home: Path) -> None:
    code, lines, said = drill(home)
    assert code == 0, said
    secret = (home / "drill" / "checkout-admin.secret").read_text().strip().partition(" ")[2]
    tokens = [
        line.split('"')[1]
        for line in (home / "drill" / "runbookd.toml").read_text().splitlines()
        if "_token" in line
    ]
    assert len(tokens) == 2
    needles = [needle.encode() for needle in (secret, *tokens)]
    looked_at = 0
    for path in [*folder_of(lines, home).rglob("*"), *(home / "drill" / "log").rglob("*")]:
        if path.is_file():
            looked_at += 1
            data = path.read_bytes()
            assert not [needle for needle in needles if needle in data], path
    assert looked_at > 5
