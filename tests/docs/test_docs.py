"""Every command in the documentation is run, and every list in it compared with the program."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.errors import PolicyError
from runbookd.events import EVENT_TYPES
from runbookd.kernels.sandbox import probe
from runbookd.model import Frozen
from runbookd.policy import model as policy
from runbookd.policy.check import warnings
from runbookd.policy.load import load_policies
from runbookd.record.note import Signer
from runbookd.runbook.metadata import AlertSource, CellMetadata, NotebookMetadata, Parameter
from runbookd.settings import Settings, SlackSettings
from runbookd.tui.marks import MARKS

from . import generated
from .pages import PAGES, ROOT, Block, anchors, blocks, first_column, generated_parts, links

DOCS = ROOT / "docs"
RUNNING = [page for page in PAGES if any(not each.only_makes for each in blocks(page, "sh"))]
SHOWN = 3000


# ---- running what the pages say ---------------------------------------------------------------


@dataclass(frozen=True)
class Tried:
    """What came of a page, and the checkout in which somebody tried it out."""

    checkout: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Tried]:
    """Tries a page out, once; no daemon is left behind."""
    found: dict[Path, Tried] = {}

    def once(page: Path) -> Tried:
        if page not in found:
            checkout = tmp_path_factory.mktemp(page.stem) / "checkout"
            for folder in ("runbooks", "policies"):
                shutil.copytree(ROOT / folder, checkout / folder)
            script = [each for each in blocks(page, "sh") if not each.only_makes]
            try:
                found[page] = Tried(checkout, run(script, checkout))
            finally:
                for lock in checkout.parent.rglob("daemon.lock"):
                    end_daemon(lock)
        return found[page]

    return once


def end_daemon(lock: Path) -> None:
    """End the daemon that holds ``lock``, and wait until it has let go."""
    with lock.open("rb+") as file:
        pid = file.read().strip()
        if pid:
            try:
                os.kill(int(pid), signal.SIGTERM)
            except ProcessLookupError:
                return
        fcntl.flock(file, fcntl.LOCK_EX)


def environment(checkout: Path) -> dict[str, str]:
    """What a reader's shell has, and nothing of ours; a daemon left alone would end by itself."""
    programs = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    return {
        "PATH": os.pathsep.join(programs),
        "HOME": str(checkout.parent / "home"),
        "RUNBOOKD_HOME": str(checkout.parent / "state"),
        "RUNBOOKD_IDLE_EXIT_S": "60",
        "LANG": "C.UTF-8",
        "USER": "reader",
    }


def run(script: list[Block], checkout: Path) -> subprocess.CompletedProcess[str]:
    """Run blocks in one shell, which stops at the first command that fails."""
    parts = ["set -eu -o pipefail"]
    for block in script:
        parts += [f"printf '%s\\n' '## {block.page.name}, line {block.line}'", block.text]
    Path(checkout.parent, "home").mkdir(exist_ok=True)
    return subprocess.run(
        ["bash", "-c", "\n".join(parts)],
        cwd=checkout,
        env=environment(checkout),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.name)
def test_every_command_of_a_page_works(page: Path, tried: Callable[[Path], Tried]) -> None:
    done = tried(page).done
    assert done.returncode == 0, f"{done.stdout[-SHOWN:]}\n{done.stderr[-SHOWN:]}"


def test_the_commands_stay_on_this_machine() -> None:
    for page in PAGES:
        for block in blocks(page, "sh"):
            for address in re.findall(r"\w+://[^\s\"']+", block.text):
                assert address.startswith("http://127.0.0.1"), f"{page.name}: {address}"


def test_make_has_every_target_that_is_named() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = [
        word
        for page in PAGES
        for block in blocks(page, "sh")
        for word in re.findall(r"^make ([a-z]+)", block.text, re.MULTILINE)
    ]
    assert named, "the README begins with make"
    assert set(named) <= targets


def rewrite(file: Path, old: bytes, new: bytes) -> None:
    before = file.read_bytes()
    file.write_bytes(before.replace(old, new, 1))
    assert file.read_bytes() != before


def drop(folder: Path, which: slice) -> None:
    lines = (folder / "record.jsonl").read_bytes().splitlines(keepends=True)
    del lines[which]
    (folder / "record.jsonl").write_bytes(b"".join(lines))


def other_key(file: Path) -> None:
    name = file.read_text().partition("+")[0]
    file.write_text(Signer(Ed25519PrivateKey.generate(), name).verifier.vkey + "\n")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "nothing": lambda folder: None,
    "a line is changed": lambda folder: rewrite(folder / "record.jsonl", b'"ok"', b'"OK"'),
    "a line is taken out": lambda folder: drop(folder, slice(3, 4)),
    "the end is cut off": lambda folder: drop(folder, slice(-3, None)),
    "the last checkpoint's line is cut off": lambda folder: drop(folder, slice(-1, None)),
    "the checkpoint names another log": lambda folder: rewrite(
        folder / "checkpoint", b"/runbookd/", b"/runbooks/"
    ),
    "the key is another": lambda folder: other_key(folder / "record.vkey"),
    "the notebook is changed": lambda folder: rewrite(folder / "runbook.ipynb", b"Disk", b"Disc"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_stranger_who_follows_the_page_notices_an_altered_record(
    what: str, tried: Callable[[Path], Tried], tmp_path: Path
) -> None:
    page = DOCS / "record.md"
    copy = shutil.copytree(tried(page).checkout / "copy", tmp_path / "copy")
    DAMAGES[what](copy)
    by_hand = [each for each in blocks(page, "sh") if "runbookd" not in each.text]
    assert len(by_hand) == 3
    assert (run(by_hand, copy).returncode == 0) == (what == "nothing")
    verified = run([Block(page, 0, "sh", "runbookd verify .")], copy)
    assert verified.returncode == (0 if what == "nothing" else 4), verified.stdout


# ---- comparing what the pages say with the program -----------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+:", target):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {link}"


def test_the_generated_parts_are_fresh() -> None:
    named = {name for page in PAGES for name in generated_parts(page)}
    assert named == set(generated.PARTS)
    for name, old, new in generated.rewritten():
        assert old == new, f"{name} is stale: run `python -m tests.docs.generated`"


def test_the_attacks_in_the_page_are_those_that_doctor_tries() -> None:
    listed = generated_parts(DOCS / "security.md")["probe"].replace("```", "").split()[1:]
    _, report = probe()
    assert listed == [row.attack for row in report.rows]


@pytest.mark.parametrize(
    ("page", "heading", "model"),
    [
        ("runbooks.md", "## The notebook", NotebookMetadata),
        ("runbooks.md", "## Parameters", Parameter),
        ("runbooks.md", "## The cells", CellMetadata),
    ],
)
def test_the_tables_have_every_key_that_there_is(
    page: str, heading: str, model: type[Frozen]
) -> None:
    assert first_column(DOCS / page, heading) == list(model.model_fields)


def test_the_page_says_where_a_parameter_finds_its_value_in_an_alert() -> None:
    text = (DOCS / "runbooks.md").read_text(encoding="utf-8")
    assert all(f'"{name}"' in text for name in AlertSource.model_fields)


def test_the_settings_in_the_page_are_all_there_are() -> None:
    names = list(Settings.model_fields)
    at = names.index("slack")
    names[at : at + 1] = [f"slack.{name}" for name in SlackSettings.model_fields]
    assert sorted(first_column(DOCS / "quickstart.md", "## Settings")) == sorted(names)


def test_the_event_types_in_the_page_are_all_there_are() -> None:
    assert set(first_column(DOCS / "record.md", "## The events")) == EVENT_TYPES


def test_the_marks_in_the_page_are_those_on_the_screen() -> None:
    text = (DOCS / "responders.md").read_text(encoding="utf-8")
    _, _, below = text.partition("\n## The marks\n")
    rows = re.findall(r"^\| (\S) \| (\w+) \|", below.partition("\n## ")[0], re.MULTILINE)
    assert rows == [(mark.symbol, mark.word) for mark in MARKS.values()]


def policy_blocks() -> list[Block]:
    found = [each for page in PAGES for each in blocks(page, "yaml")]
    return [each for each in found if each.text.startswith("version: 1")]


def written(block: Block, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "policy.yaml").write_text(block.text, encoding="utf-8")
    return folder


def test_every_policy_in_the_pages_is_one(tmp_path: Path) -> None:
    assert len(policy_blocks()) >= 3
    for at, block in enumerate(policy_blocks()):
        load_policies(written(block, tmp_path / str(at)))


def test_the_whole_policy_of_the_page_is_whole(tmp_path: Path) -> None:
    whole, *real = blocks(DOCS / "policies.md", "yaml")
    keys = set(re.findall(r"([a-z_-]+):", whole.text))
    for name, model in vars(policy).items():
        if isinstance(model, type) and issubclass(model, policy.Written):
            for key, field in model.model_fields.items():
                assert (field.alias or key) in keys, f"{name}.{key} is not in policies.md"
    for block in real[:2]:
        assert warnings(load_policies(written(block, tmp_path))) == ()


def test_the_page_names_what_is_accepted_but_not_in_force(tmp_path: Path) -> None:
    whole = blocks(DOCS / "policies.md", "yaml")[0]
    said = [each for each in warnings(load_policies(written(whole, tmp_path))) if "force" in each]
    keys = {each.partition(" is not")[0].rpartition(" ")[2] for each in said}
    assert set(first_column(DOCS / "policies.md", "## Accepted, but not in force")) == keys


def test_the_page_names_what_is_refused_until_it_is_enforced(tmp_path: Path) -> None:
    text = (DOCS / "policies.md").read_text(encoding="utf-8")
    for model in vars(policy).values():
        if isinstance(model, type) and issubclass(model, policy.Written):
            for key in model.not_yet:
                assert f"`{key}`" in text
    bad = tmp_path / "bad.yaml"
    rule = {"name": "r", "approve": {"by": ["g"]}, "evidence": {}}
    bad.write_text(yaml.safe_dump({"version": 1, "rules": [rule]}), encoding="utf-8")
    with pytest.raises(PolicyError, match="not supported yet"):
        load_policies(tmp_path)


SCOPES = {
    "apps_connections_open": None,  # with the app's own token
    "auth_test": None,
    "bots_info": "users:read",
    "chat_postEphemeral": "chat:write",
    "chat_postMessage": "chat:write",
    "chat_update": "chat:write",
    "files_upload_v2": "files:write",
    "usergroups_users_list": "usergroups:read",
    "users_info": "users:read",
    "views_open": None,
}
"""What Slack's reference asks for each method, with a bot's token."""


def test_the_slack_manifest_asks_for_the_scopes_that_are_used() -> None:
    sources = (ROOT / "runbookd" / "approvals" / "slack").glob("*.py")
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    called = set(re.findall(r"web\.([a-z]+_\w+)\(", text))
    needed = {SCOPES[method] for method in called}
    [manifest] = [each for each in blocks(DOCS / "quickstart.md", "yaml") if "oauth" in each.text]
    asked = yaml.safe_load(manifest.text)
    assert set(asked["oauth_config"]["scopes"]["bot"]) == needed - {None}
    assert asked["settings"]["socket_mode_enabled"]
    assert asked["settings"]["interactivity"]["is_enabled"]
