"""The errors that runbookd tells people about, and the exit code each one means.

::

    RunbookdError             exit code
    ├── InputError               2   wrong usage or bad input
    │   ├── RunbookError         2   a notebook that cannot be walked
    │   ├── PolicyError          2   a policy file that cannot be used
    │   └── SettingsError        2   runbookd.toml or the environment
    ├── CommandRefused           1   the session is not in a state that allows this
    ├── CellFailed               1   a cell ended in an error
    ├── NotApproved              3   denied, expired, revoked, or not decided in time
    ├── RecordError              4   the record does not verify, or is damaged
    └── Unavailable              5   no daemon, no kernel, no sandbox, no disk space
        ├── DaemonUnavailable    5
        ├── KernelUnavailable    5
        ├── SecretUnavailable    5   a secret reference that cannot be resolved
        └── RecordUnwritable     5   the record cannot be extended, so nothing may run

Every error is one sentence about what is wrong and one about what to do next. Showing them is
the business of the command line and of the screen.
"""


class RunbookdError(Exception):
    """Base of all errors that a person is told about.

    Args:
        message: what is wrong, one line, without a final full stop.
        hint: what to do next, one line; empty when nothing sensible can be said.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class InputError(RunbookdError):
    """What was given cannot be used: usage, a file, a parameter."""

    exit_code = 2


class RunbookError(InputError):
    """A notebook cannot be read, or its runbookd metadata is wrong."""


class PolicyError(InputError):
    """A policy file cannot be read, or says something that makes no sense."""


class SettingsError(InputError):
    """The configuration file or a RUNBOOKD_* variable is wrong."""


class CommandRefused(RunbookdError):
    """The session's state, or the driver's seat, does not allow this command now."""


class CellFailed(RunbookdError):
    """A cell ended in an error, a timeout or the death of its kernel."""


class NotApproved(RunbookdError):
    """An approval was denied, expired, revoked, or did not come in time."""

    exit_code = 3


class RecordError(RunbookdError):
    """A record is damaged or does not verify."""

    exit_code = 4


class Unavailable(RunbookdError):
    """Something that is needed is not there."""

    exit_code = 5


class DaemonUnavailable(Unavailable):
    """No daemon answers, and none could be started."""


class KernelUnavailable(Unavailable):
    """A kernel could not be started, or its sandbox could not be enforced."""


class SecretUnavailable(Unavailable):
    """A secret reference could not be resolved. Never carries the secret."""


class RecordUnwritable(Unavailable):
    """The record could not be extended. Whatever needed recording must not happen."""


def error_for(exit_code: int, message: str, hint: str = "") -> RunbookdError:
    """The error of the given exit code: how an error crosses the API."""
    kinds: dict[int, type[RunbookdError]] = {
        1: CommandRefused,
        2: InputError,
        3: NotApproved,
        4: RecordError,
        5: Unavailable,
    }
    return kinds.get(exit_code, RunbookdError)(message, hint)
