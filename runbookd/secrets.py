"""Secrets by reference: what a policy may name, and how the daemon turns it into a value.

A reference is ``keyring:SERVICE/NAME``, ``env:NAME``, ``file:PATH`` or ``exec:COMMAND``. The value
is read when it is needed, never stored, and never part of an error, a log line or a ``repr``.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pydantic import SecretStr

from runbookd.errors import InputError, SecretUnavailable

Kind = Literal["keyring", "env", "file", "exec"]

ALTERNATIVES = "keyring:service/name, env:NAME, file:/path or exec:command"
MAX_BYTES = 64 * 1024
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is kept. Not secret itself: it may be shown and recorded.

    ``target`` is what stands after the colon; ``str()`` gives the reference as it was written.
    """

    kind: Kind
    target: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.target}"


def parse_secret_ref(text: str) -> SecretRef:
    """The reference that ``text`` is.

    Raises:
        InputError: ``text`` is none. The message does not repeat it, since it may be a secret
            that somebody put where a reference belongs.
    """
    kind, colon, target = text.partition(":")
    if not colon or kind not in {"keyring", "env", "file", "exec"}:
        raise InputError("this is not a secret reference", f"write {ALTERNATIVES}")
    ref = SecretRef(cast("Kind", kind), target.strip())
    wrong = _wrong_target(ref)
    if wrong:
        raise InputError(f"a {kind}: reference {wrong}", f"write {ALTERNATIVES}")
    return ref


def _wrong_target(ref: SecretRef) -> str:
    """What is wrong with the target, as the rest of a sentence; empty when nothing is."""
    if "\0" in ref.target:
        return "cannot hold a NUL character"
    match ref.kind:
        case "keyring":
            service, _, name = ref.target.partition("/")
            return "" if service and name else "needs a service and a name"
        case "env":
            return "" if ref.target and "=" not in ref.target else "needs a variable's name"
        case "file":
            absolute = ref.target.startswith(("/", "~/"))
            return "" if absolute else "needs an absolute path"
        case "exec":
            try:
                return "" if shlex.split(ref.target) else "needs a command"
            except ValueError:
                return "has an open quotation"


async def resolve(
    ref: SecretRef, *, environ: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
) -> SecretStr:
    """The secret's value, without one trailing newline; masked wherever it is printed.

    Args:
        ref: where it is kept.
        environ: the variables for ``env:``; default the process's own.
        timeout_s: seconds that a keyring or a command may take.

    Raises:
        SecretUnavailable: it is not there, not private, empty, too long, not text, or late.
            Names the reference, never the value.
    """
    value = _strip_newline(await _read(ref, os.environ if environ is None else environ, timeout_s))
    if not value:
        raise _unavailable(ref, "the value is empty")
    return SecretStr(value)


async def _read(ref: SecretRef, environ: Mapping[str, str], timeout_s: float) -> str:
    match ref.kind:
        case "env":
            found = environ.get(ref.target)
            if found is None:
                raise _unavailable(ref, "the variable is not set in the daemon's environment")
            return found
        case "file":
            return await _in_thread(ref, lambda: _read_private(ref), timeout_s)
        case "keyring":
            return await _in_thread(ref, lambda: _from_keyring(ref), timeout_s)
        case "exec":
            return await _from_command(ref, timeout_s)


def _unavailable(ref: SecretRef, why: str) -> SecretUnavailable:
    others = "keyring:, env:, file: and exec: references are possible"
    return SecretUnavailable(f"the secret {ref} cannot be read: {why}", others)


def _strip_newline(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _text(ref: SecretRef, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _unavailable(ref, f"it is longer than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # The exception holds the bytes: it must not travel as the cause.
        raise _unavailable(ref, "it is not UTF-8 text") from None


def _read_private(ref: SecretRef) -> str:
    """The content of a regular file that nobody but us can read."""
    path = Path(ref.target).expanduser()
    # O_NONBLOCK: a FIFO in its place must not hang the daemon. O_NOFOLLOW: the file that was
    # checked is the file that is read.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if path.is_symlink():
            raise _unavailable(ref, "it is a symbolic link; name the file itself") from None
        raise _unavailable(ref, os.strerror(error.errno or 0).lower()) from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise _unavailable(ref, "it is not a regular file")
        if facts.st_uid != os.geteuid():
            raise _unavailable(ref, "it belongs to another user")
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise _unavailable(ref, f"others may open it; run chmod 600 {path}")
        return _text(ref, os.read(descriptor, MAX_BYTES + 1))
    except OSError as error:
        raise _unavailable(ref, os.strerror(error.errno or 0).lower()) from None
    finally:
        os.close(descriptor)


def _from_keyring(ref: SecretRef) -> str:
    # 0.1 to 0.3 s that only a keyring: reference should pay.
    import keyring
    from keyring.errors import NoKeyringError

    service, _, name = ref.target.partition("/")
    try:
        backend = type(keyring.get_keyring())
        found = keyring.get_password(service, name)
    except NoKeyringError:
        raise _unavailable(ref, "this machine has no keyring") from None
    except Exception as error:  # noqa: BLE001 - back-ends raise their own kinds, and texts
        raise _unavailable(ref, f"the keyring failed ({type(error).__name__})") from None
    if found is None and backend.__module__ == "keyring.backends.null":
        raise _unavailable(ref, "the keyring is switched off on this machine")
    if found is None:
        raise _unavailable(ref, "the keyring holds no such entry")
    return found


async def _from_command(ref: SecretRef, timeout_s: float) -> str:
    """What the command prints. Its stderr is dropped: it may hold what it should not."""
    try:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(ref.target),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise _unavailable(ref, f"the command cannot be started ({why})") from None
    assert process.stdout is not None
    data = b""
    try:
        async with asyncio.timeout(timeout_s):
            while len(data) <= MAX_BYTES and (piece := await process.stdout.read(MAX_BYTES)):
                data += piece
            if len(data) > MAX_BYTES:
                raise _unavailable(ref, f"it is longer than {MAX_BYTES} bytes")
            status = await process.wait()
    except TimeoutError:
        raise _unavailable(ref, f"no answer within {timeout_s:g} s") from None
    finally:
        # Its whole group, on a time-out or a cancellation too: a password prompt may be a child.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if status != 0:
        raise _unavailable(ref, f"the command ended with status {status}")
    return _text(ref, data)


async def _in_thread(ref: SecretRef, work: Callable[[], str], timeout_s: float) -> str:
    """Run ``work`` beside the loop. A thread that hangs is left alone and dies with the daemon."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[str] = loop.create_future()

    def settle(value: str | None, error: SecretUnavailable | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value or "")

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except SecretUnavailable as known:
            error = known
        except Exception as unknown:  # noqa: BLE001 - a caller that waits must get an answer
            error = _unavailable(ref, f"it failed ({type(unknown).__name__})")
        # The loop may have ended meanwhile; then nobody waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, name="secret", daemon=True).start()
    try:
        async with asyncio.timeout(timeout_s):
            return await done
    except TimeoutError:
        raise _unavailable(ref, f"no answer within {timeout_s:g} s") from None
