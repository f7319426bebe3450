"""``runbookd secrets``: credentials in the system's keyring, for ``keyring:`` references."""

import sys

import click

from runbookd.errors import InputError, SecretUnavailable


@click.group(
    "secrets", no_args_is_help=False, epilog="Example: runbookd secrets set checkout/admin"
)
def secrets_group() -> None:
    """Keep credentials in the system's keyring. Policies name them as keyring:SERVICE/NAME."""


@secrets_group.command("set", epilog="Example: runbookd secrets set checkout/admin")
@click.argument("name", metavar="SERVICE/NAME")
def set_command(name: str) -> None:
    """Ask for a value and keep it. From a pipe, the value is standard input."""
    service, key = _split(name)
    if sys.stdin.isatty():
        value = str(click.prompt("Value", hide_input=True))
    else:
        value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise InputError("the value is empty", "type or pipe the secret")
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(service, key, value)
    except KeyringError:
        raise _no_keyring() from None
    click.echo(f"kept as keyring:{service}/{key}", err=True)


@secrets_group.command("rm", epilog="Example: runbookd secrets rm checkout/admin")
@click.argument("name", metavar="SERVICE/NAME")
def rm_command(name: str) -> None:
    """Forget a value."""
    service, key = _split(name)
    import keyring
    from keyring.errors import KeyringError, PasswordDeleteError

    try:
        keyring.delete_password(service, key)
    except PasswordDeleteError:
        raise InputError(f"the keyring has no {service}/{key}") from None
    except KeyringError:
        raise _no_keyring() from None
    click.echo(f"forgot keyring:{service}/{key}", err=True)


def _split(name: str) -> tuple[str, str]:
    service, slash, key = name.partition("/")
    if not (service and slash and key):
        raise InputError(f"{name!r} is not SERVICE/NAME", "for example checkout/admin")
    return service, key


def _no_keyring() -> SecretUnavailable:
    return SecretUnavailable(
        "this machine has no keyring that can be used",
        "use file:, env: or exec: references instead",
    )
