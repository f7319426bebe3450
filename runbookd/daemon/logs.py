"""The daemon's log: JSON lines to a file in the home, human lines to a terminal. Never a secret."""

import logging
import sys
from pathlib import Path
from typing import TextIO

import structlog

_QUIET = ("slack_sdk", "slack_bolt", "websockets", "httpx", "httpcore", "asyncio", "uvicorn")


def log_to(home: Path, *, terminal: bool) -> TextIO:
    """Send the log to ``home/log/daemon.jsonl``, or to stderr with ``terminal``.

    Libraries that put addresses and tokens into their messages are kept quiet.

    Returns:
        The stream that is written to; the caller closes it at the end.
    """
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if terminal:
        stream: TextIO = sys.stderr
        final: list[structlog.typing.Processor] = [
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    else:
        folder = home / "log"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        stream = (folder / "daemon.jsonl").open("a", encoding="utf-8")
        final = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    return stream
