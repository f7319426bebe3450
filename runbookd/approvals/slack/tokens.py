"""The two tokens that Slack needs, from the settings."""

from runbookd.errors import SettingsError
from runbookd.settings import Settings


def slack_tokens(settings: Settings) -> tuple[str, str] | None:
    """The bot's and the app's token, or None when Slack is not set up at all.

    Raises:
        SettingsError: it is set up by half.
    """
    slack = settings.slack
    values = {
        "bot_token": slack.bot_token.get_secret_value() if slack.bot_token else "",
        "app_token": slack.app_token.get_secret_value() if slack.app_token else "",
        "channel": slack.channel,
    }
    missing = [name for name, value in values.items() if not value]
    if len(missing) == len(values):
        return None
    if missing:
        raise SettingsError(
            f"slack.{missing[0]} is missing",
            f"set RUNBOOKD_SLACK__{missing[0].upper()}, or none of the Slack settings",
        )
    return values["bot_token"], values["app_token"]
