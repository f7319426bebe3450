"""The drill's home: a home of its own inside the user's, isolated from the environment."""

import json
import os
import pwd
import shutil
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from runbookd.errors import DaemonUnavailable, InputError
from runbookd.settings import Settings, load_settings

RUNBOOK = "checkout-latency.ipynb"
RESPONDER = "you"
"""The person of the drill's policy whom the OS user plays."""


def shipped(folder: str) -> Traversable:
    """The shipped ``runbooks`` or ``policies``: inside an installed wheel, else the checkout's."""
    inside = resources.files("runbookd.drill") / folder
    if inside.is_dir():
        return inside
    return Path(__file__).parents[2] / folder


def prepare_home(
    settings: Settings, world: dict[str, Any], runbook: Path | None = None
) -> tuple[Settings, Path]:
    """Write the drill's configuration, policy and runbook for a running world.

    Args:
        settings: the user's settings; the drill's home lies inside their home.
        world: what :mod:`runbookd.drill.world` says of itself.
        runbook: another notebook to rehearse.

    Returns:
        The drill's settings and the path of its runbook.

    Raises:
        DaemonUnavailable: the home cannot be written.
    """
    home = settings.drill_home
    try:
        for folder in (home, home / "runbooks", home / "policies"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _private(home / "runbookd.toml", _configuration(home, world))
        secret = home / "checkout-admin.secret"
        _private(secret, f"Bearer {world['checkout']['admin_token']}\n")
        _private(home / "policies" / "drill.yaml", _policy(world, secret))
        target = home / "runbooks" / (runbook.name if runbook else RUNBOOK)
        source = runbook or shipped("runbooks") / RUNBOOK
        target.write_bytes(source.read_bytes())
    except OSError as error:
        raise DaemonUnavailable(
            f"the drill's home {home} cannot be written: {error.strerror}",
            "set RUNBOOKD_HOME to a folder that can",
        ) from None
    return load_settings(home), target


def world_folder(settings: Settings) -> Path:
    """Where the world keeps its files; made anew for each drill."""
    folder = settings.drill_home / "world"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def page_of(drill: Settings) -> str | None:
    """The page of the Slack stand-in of the drill in this home; None when it is over."""
    try:
        world = json.loads((drill.home / "world" / "world.json").read_text("utf-8"))
        return str(world["slack"]["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _configuration(home: Path, world: dict[str, Any]) -> str:
    slack = world["slack"]
    return "\n".join(
        [
            "# Written by `runbookd drill`, anew for each one.",
            "isolated = true",
            # Once its sessions are closed, nobody needs a drill's daemon for long.
            "idle_exit_s = 60",
            f'runbooks = "{home / "runbooks"}"',
            f'policies = "{home / "policies"}"',
            "[slack]",
            f'base_url = "{slack["api_url"]}"',
            f'bot_token = "{slack["bot_token"]}"',
            f'app_token = "{slack["app_token"]}"',
            f'channel = "{slack["channel"]}"',
            "",
        ]
    )


def _policy(world: dict[str, Any], secret: Path) -> str:
    policy = yaml.safe_load((shipped("policies") / "drill.yaml").read_text("utf-8"))
    for identity in policy["identities"]:
        if identity["person"] == RESPONDER:
            identity["os_user"] = pwd.getpwuid(os.getuid()).pw_name
    for connector in policy["connectors"].values():
        connector["url"] = world["checkout"]["url"]
        if "credential" in connector:
            connector["credential"]["secret"] = f"file:{secret}"
    return yaml.safe_dump(policy, sort_keys=False)


def _private(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def existing_runbook(name: str) -> Path:
    """The notebook that the user wants to rehearse.

    Raises:
        InputError: there is none at that path.
    """
    path = Path(name)
    if not path.is_file():
        raise InputError(f"there is no runbook at {name}", "give the path of a notebook")
    return path
