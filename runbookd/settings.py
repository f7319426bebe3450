"""Configuration: ``runbookd.toml``, then ``RUNBOOKD_*`` variables; flags win over both.

The file is the one that ``RUNBOOKD_CONFIG`` names, else ``runbookd.toml`` in the home, else in
the platform's configuration folder. State lives in the home: ``RUNBOOKD_HOME``, by default the
platform's state folder.

A home whose file says ``isolated = true`` (a drill's) takes nothing from the environment: no
variable that is meant for the real daemon can reach it, a Slack token least of all.
"""

import hashlib
import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from runbookd.errors import SettingsError

_SUN_PATH_MAX = 100


class SlackSettings(BaseModel):
    """How to reach Slack. Tokens come from the keyring unless they are given here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = "https://slack.com/api/"
    bot_token: SecretStr | None = None
    app_token: SecretStr | None = None
    channel: str = ""


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(
        env_prefix="RUNBOOKD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path
    runbooks: Path = Path("runbooks")
    policies: Path = Path("policies")
    socket: Path
    slack: SlackSettings = SlackSettings()
    socket_group: str | None = None
    idle_exit_s: int = 3600
    isolated: bool = False

    @property
    def sessions(self) -> Path:
        """The folder that holds one folder a session."""
        return self.home / "sessions"

    @property
    def drill_home(self) -> Path:
        """The home of the drill's own daemon, inside this one."""
        return self.home / "drill"


def _says_isolated(file: Path) -> bool:
    try:
        return tomllib.loads(file.read_text("utf-8")).get("isolated") is True
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False


def default_home() -> Path:
    """``RUNBOOKD_HOME``, or the platform's state folder."""
    given = os.environ.get("RUNBOOKD_HOME")
    return Path(given).absolute() if given else Path(platformdirs.user_state_dir("runbookd"))


def config_file(home: Path) -> Path | None:
    """The configuration file in force, or None."""
    given = os.environ.get("RUNBOOKD_CONFIG")
    if given:
        if not Path(given).is_file():
            raise SettingsError(
                f"RUNBOOKD_CONFIG names {given}, which is not a file", "correct or unset it"
            )
        return Path(given)
    folder = Path(platformdirs.user_config_dir("runbookd"))
    for candidate in (home / "runbookd.toml", folder / "runbookd.toml"):
        if candidate.is_file():
            return candidate
    return None


def load_settings(home: Path | None = None, **flags: Any) -> Settings:
    """The settings in force for ``home`` (default: :func:`default_home`).

    Args:
        home: the state folder; given by a flag or for a drill.
        flags: values that win over file and environment; None means not given.

    Raises:
        SettingsError: a file that is not TOML, an unknown key, a wrong value.
    """
    home = (home or default_home()).absolute()
    own = home / "runbookd.toml"
    isolated = _says_isolated(own)
    file = own if isolated else config_file(home)

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            from_file = TomlConfigSettingsSource(settings_cls, file)
            if isolated:
                return (init_settings, from_file)
            return (init_settings, env_settings, from_file)

    values = {key: value for key, value in flags.items() if value is not None}
    if isolated or ("socket" not in values and "RUNBOOKD_SOCKET" not in os.environ):
        values["socket"] = default_socket(home)
    try:
        found = FromFile(**{**values, "home": home})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"setting {key}: {first['msg'].lower()}",
            f"look at {file}" if file else "look at the RUNBOOKD_* variables",
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not TOML: {error}", "correct it") from None
    absolute = {
        name: getattr(found, name).absolute() for name in ("runbooks", "policies", "socket")
    }
    return found.model_copy(update=absolute)


def default_socket(home: Path) -> Path:
    """The socket's path: short (Unix sockets allow about 100 bytes), derived from the home."""
    name = f"{hashlib.sha256(str(home).encode()).hexdigest()[:12]}.sock"
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given:
        path = Path(given) / "runbookd" / name
        if len(str(path)) <= _SUN_PATH_MAX and Path(given).is_dir():
            return path
    return Path(tempfile.gettempdir()) / f"runbookd-{os.getuid()}" / name
