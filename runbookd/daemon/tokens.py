"""Where the Slack tokens come from: the settings, else the keyring; never argv."""

from runbookd.daemon.vault import Vault
from runbookd.errors import SecretUnavailable
from runbookd.settings import SlackSettings

BOT_TOKEN = "keyring:runbookd/slack-bot-token"  # noqa: S105 - a reference, not a secret
APP_TOKEN = "keyring:runbookd/slack-app-token"  # noqa: S105 - a reference, not a secret


async def slack_tokens(slack: SlackSettings, vault: Vault) -> tuple[str, str] | None:
    """Bot token and app-level token, or None where no channel is configured.

    Raises:
        SecretUnavailable: a channel is configured, and a token is not to be had.
    """
    if not slack.channel:
        return None
    found = []
    for given, reference in ((slack.bot_token, BOT_TOKEN), (slack.app_token, APP_TOKEN)):
        if given is not None:
            found.append(given.get_secret_value())
            vault.learn("slack", found[-1])
            continue
        try:
            found.append(await vault.resolve(reference))
        except SecretUnavailable as error:
            raise SecretUnavailable(
                f"slack.channel is set, but there is no token: {error.message}",
                f"put it there with `runbookd secrets set {reference.partition(':')[2]}`, "
                "or set RUNBOOKD_SLACK__BOT_TOKEN and RUNBOOKD_SLACK__APP_TOKEN",
            ) from None
    return found[0], found[1]
