"""Help with an example everywhere, and every error in one line with the exit code it means."""

import json
import os
import shutil
from pathlib import Path

import click
import pytest

from runbookd import __version__
from runbookd.cli.main import _COMMANDS
from runbookd.cli.main import cli as root
from tests.cli.conftest import Cli, process
from tests.session.world import FIX, LOOK, notebook

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def commands(group: click.Group = root, *above: str) -> list[tuple[str, ...]]:
    context = click.Context(group)
    found: list[tuple[str, ...]] = [above]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += commands(command, *above, name)
        else:
            found.append((*above, name))
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself_with_an_example(
    cli: Cli, command: tuple[str, ...], flag: str
) -> None:
    done = cli(*command, flag)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: runbookd {' '.join(command)}".rstrip())
    assert "xample" in done.out or "Start with a rehearsal: runbookd drill" in done.out
    assert "runbookd " + " ".join(command) in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 100


def test_the_help_lists_every_command(cli: Cli) -> None:
    listed = cli("--help").out
    for name in _COMMANDS:
        assert f"\n  {name} " in listed


def test_the_version_is_told_in_three_ways(cli: Cli) -> None:
    assert cli("version").out == f"runbookd {__version__}\n"
    assert cli("--version").out == f"runbookd {__version__}\n"
    assert json.loads(cli("version", "--json").out) == {"version": __version__}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "no such command 'nonsense'; see `runbookd --help`"),
        (("--nonsense",), "no such option '--nonsense'; see `runbookd --help`"),
        (("run",), "missing argument 'RUNBOOK'; see `runbookd run --help`"),
        (("run", "a", "b"), "got unexpected extra argument"),
        (("run", "a", "--severity", "9"), "9 is not in the range"),
        (("run", "a", "--approval-timeout", "soon"), "'soon' is not a valid float"),
        (("policy",), "missing command; see `runbookd policy --help`"),
        (("secrets",), "missing command; see `runbookd secrets --help`"),
        (("export", "x", "-f", "docx"), "'docx' is not"),
        (("export",), "missing argument"),
        (("deny", "abc"), "missing option '--reason'"),
        (("deny", "abc", "--reason", " "), "a denial wants a reason"),
        (("completion", "tcsh"), "'tcsh' is not one of"),
        (("verify",), "name one session or path, or give --all"),
        (("verify", "x", "--all"), "name one session or path, or give --all"),
        (("verify", "x", "--checkpoint", "nowhere"), "does not exist"),
        (("secrets", "set", "nameless"), "'nameless' is not SERVICE/NAME"),
        (("show", "nowhere"), "there is no session 'nowhere'"),
        (("close", "nowhere"), "there is no session 'nowhere'"),
        (("attach", "nowhere"), "there is no session 'nowhere'"),
        (("export", "nowhere"), "there is no session 'nowhere'"),
        (("verify", "nowhere"), "there is no session 'nowhere'"),
        (("verify", "."), "holds no record.jsonl"),
        (("show", ""), "there is no session ''"),
        (("show", "../../etc"), "there is no session '../../etc'"),
        (("attach",), "no session is open"),
        (("approve", "3f9a1c42"), "no pending request is called '3f9a1c42'"),
        (("deny", "3f9a1c42", "--reason", "no"), "no pending request is called '3f9a1c42'"),
        (("run", "nowhere"), "there is no runbook 'nowhere'"),
        (("open", "nowhere"), "there is no runbook 'nowhere'"),
        (("run", "nowhere", "--plan"), "there is no runbook 'nowhere'"),
        ((), "the screens need a terminal"),
        (("drill",), "the screens need a terminal"),
        (("drill", "nowhere"), "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    cli: Cli, place: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = cli(*arguments)
    assert said in done.error
    assert (done.code, done.out) == (2, "")
    assert not (place / "home").exists(), "nothing is made, and no daemon started, for that"


def test_what_people_typed_reaches_the_terminal_as_text(cli: Cli) -> None:
    for hostile in ("\x1b]0;title\x07", "\x9b2J", "a\u202eb", "a\nb"):
        for done in (cli("show", hostile), cli("run", hostile), cli(hostile), cli("-p" + hostile)):
            assert done.code == 2
            assert not set("\x1b\x07\x9b\u202e") & set(done.error)


@pytest.mark.parametrize(
    "name",
    [
        "not-json.ipynb",
        "empty.ipynb",
        "not-utf-8.ipynb",
        "json-list.ipynb",
        "gated-markdown.ipynb",
        "unknown-cell-key.ipynb",
        "timeout-with-a-unit.ipynb",
    ],
)
def test_a_notebook_that_cannot_be_walked_is_refused_by_name(
    cli: Cli, place: Path, name: str
) -> None:
    shutil.copy(NOTEBOOKS / name, place / "runbooks")
    for command in (("run", name), ("run", name, "--plan"), ("open", name)):
        done = cli(*command)
        assert name in done.error
        assert done.code == 2
    assert not (place / "home").exists()


def test_an_ambiguous_session_is_not_guessed(cli: Cli, place: Path) -> None:
    for name in ("20261124-020731-checkout-3f9a", "20261124-020800-checkout-77aa"):
        (place / "home" / "sessions" / name).mkdir(parents=True)
        (place / "home" / "sessions" / name / "record.jsonl").write_text("")
    for command in ("show", "close", "attach", "export", "verify"):
        done = cli(command, "20261124-02")
        assert "'20261124-02' fits 2 sessions; give more of the id" in done.error
        assert done.code == 2


def test_a_plan_says_what_would_happen_and_asks_nobody(cli: Cli, place: Path) -> None:
    shown = {"id": "t", "runbookd": {"title": "wipe \x1b[2J all"}}
    (place / "runbooks" / "checkout.ipynb").write_bytes(notebook(LOOK, FIX, shown))
    done = cli("run", "checkout", "--plan")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["read-only", "target", "=", "40"]
    assert lines[1].split() == ["gated", "resize(target),", "risk", "high"]
    assert "\x1b" not in done.out
    assert not (place / "home").exists()


# ---- policies and settings -------------------------------------------------------------------


def test_a_policy_with_a_typo_is_named_with_file_and_line(cli: Cli, place: Path) -> None:
    (place / "policies" / "production.yaml").write_text("version: 1\nrulez: []\n")
    (place / "runbooks" / "checkout.ipynb").write_bytes(notebook(LOOK))
    done = cli("policy", "check")
    assert 'production.yaml, line 2: unknown key "rulez"; did you mean "rules"?' in done.error
    assert done.code == 2
    started = cli("run", "checkout")
    assert 'production.yaml, line 2: unknown key "rulez"' in started.error
    assert started.code == 5
    assert not (place / "home" / "sessions").exists()


def test_policies_that_are_in_order_are_told_with_their_digest(cli: Cli, place: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "policies" / "drill.yaml", place / "policies")
    done = cli("policy", "check")
    assert (done.code, done.err) == (0, "")
    told = json.loads(cli("policy", "check", "--json").out)
    assert told["digest"][:8] in done.out
    assert list(told["files"]) == ["drill.yaml"]
    assert cli("policy", "check", str(place / "policies")).out == done.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("idle_exit = 5", "idle_exit"),
        ("[slack]\ntoken = 'x'", "slack.token"),
        ("idle_exit_s = 'soon'", "idle_exit_s"),
        ("idle_exit_s =", "is not TOML"),
        ("\x00", "is not TOML"),
    ],
)
def test_a_wrong_configuration_names_its_file(cli: Cli, place: Path, text: str, said: str) -> None:
    (place / "home").mkdir()
    (place / "home" / "runbookd.toml").write_text(text)
    done = cli("sessions")
    assert said in done.error
    assert str(place / "home" / "runbookd.toml") in done.error
    assert done.code == 2


def test_a_secret_from_a_pipe_is_not_shown(place: Path) -> None:
    done = process(place, "secrets", "rm", "checkout/none")
    assert done.returncode in {2, 5}
    assert done.stderr.startswith("runbookd: ")
    assert done.stderr.count("\n") == 1


# ---- pipes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [("--help",), ("version",), ("completion", "bash"), ("policy", "check")]
)
def test_a_reader_that_went_away_is_not_an_error_to_talk_about(
    place: Path, arguments: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = process(place, *arguments, stdout=writing)
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 141


def test_a_full_disk_behind_the_output_is_one_line(place: Path) -> None:
    with open("/dev/full", "w") as full:
        done = process(place, "version", stdout=full)
    assert done.returncode != 0
    assert done.stderr.startswith("runbookd: ")
    assert done.stderr.count("\n") == 1


def test_debug_shows_the_whole_trace(cli: Cli, place: Path) -> None:
    (place / "policies" / "production.yaml").write_text("version: 1\nrulez: []\n")
    done = process(place, "--debug", "policy", "check")
    assert "Traceback" in done.stderr
    assert "PolicyError" in done.stderr
