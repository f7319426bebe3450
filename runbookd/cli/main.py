"""The entry point: global options, lazily loaded commands, and how errors are told."""

import errno
import importlib
import os
import sys
from typing import NoReturn

import click

from runbookd.errors import RunbookdError
from runbookd.visible import visible

# Command -> (module, function): a command pays only for the imports that it needs.
_COMMANDS = {
    "open": ("runbookd.cli.walk", "open_command"),
    "attach": ("runbookd.cli.walk", "attach_command"),
    "run": ("runbookd.cli.walk", "run_command"),
    "sessions": ("runbookd.cli.sessions", "sessions_command"),
    "show": ("runbookd.cli.sessions", "show_command"),
    "close": ("runbookd.cli.sessions", "close_command"),
    "approvals": ("runbookd.cli.approvals", "approvals_command"),
    "approve": ("runbookd.cli.approvals", "approve_command"),
    "deny": ("runbookd.cli.approvals", "deny_command"),
    "export": ("runbookd.cli.records", "export_command"),
    "verify": ("runbookd.cli.records", "verify_command"),
    "policy": ("runbookd.cli.policy", "policy_group"),
    "secrets": ("runbookd.cli.secrets", "secrets_group"),
    "drill": ("runbookd.cli.drill", "drill_command"),
    "serve": ("runbookd.cli.serve", "serve_command"),
    "doctor": ("runbookd.cli.doctor", "doctor_command"),
    "completion": ("runbookd.cli.completion", "completion_command"),
    "version": ("runbookd.cli.version", "version_command"),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table: that of a walk."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or None."""
        if cmd_name not in _COMMANDS:
            return None
        module, function = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), function)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with a rehearsal: runbookd drill",
)
@click.option("--debug", is_flag=True, help="Show the whole trace of an error.")
@click.version_option(package_name="runbookd", message="runbookd %(version)s")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Walk on-call engineers through incident runbooks.

    Read-only cells run in an enforced sandbox, gated cells wait for an approval of exactly what
    runs, and everything goes into a tamper-evident record. Without a command: the terminal
    screens, with all runbooks, open sessions and approvals.
    """
    del debug  # main() looks at it
    if ctx.invoked_subcommand is None:
        from runbookd.cli.walk import home_screen

        home_screen()


def main() -> NoReturn:
    """Run the command line; every error is one line and an exit code (design, section 8)."""
    debug = "--debug" in sys.argv[1:]
    try:
        code = cli(standalone_mode=False)
        click.echo(nl=False)  # flush: a reader that went away shows here, not behind our back
    except BaseException as raised:
        if debug and not isinstance(raised, SystemExit | click.ClickException):
            raise
        sys.exit(_told(raised))
    sys.exit(code if isinstance(code, int) else 0)


def _told(raised: BaseException) -> int:
    """Tell an error, and return its exit code: 128 and the signal's number for what ends a pipe."""
    error = _first(raised)
    match error:
        case RunbookdError():
            _tell(str(error))
            return error.exit_code
        case click.ClickException():
            _tell(_usage(error))
            return 2
        case KeyboardInterrupt() | click.exceptions.Abort():
            _tell("interrupted")
            return 130
        case BrokenPipeError() | SystemExit():
            # The reader of our output went away (click makes a SystemExit of that): nothing to
            # say, and nothing left to flush.
            _drop_output()
            return 141
        case OSError(errno=errno.ENOSPC):
            _tell("no space is left on the disk")
            _drop_output()
            return 5
        case _:
            name = type(error).__name__
            _tell(f"this should not have happened: {name}: {error}; run it again with --debug")
            return 1


def _first(raised: BaseException) -> BaseException:
    """The error that says most: of a group, the first that is meant for people."""
    if not isinstance(raised, BaseExceptionGroup):
        return raised
    leaves = [_first(inner) for inner in raised.exceptions]
    for leaf in leaves:
        if isinstance(leaf, RunbookdError | KeyboardInterrupt):
            return leaf
    return leaves[0]


def _drop_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter's end does not trip over it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _usage(error: click.ClickException) -> str:
    """What click says about wrong usage, in one line."""
    said = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"; see `{context.command_path} --help`" if context is not None else ""
    return f"{said[:1].lower()}{said[1:]}{hint}"


def _tell(message: str) -> None:
    print(f"runbookd: {visible(' '.join(message.split()))}", file=sys.stderr)  # noqa: T201
