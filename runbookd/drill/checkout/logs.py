"""The service's log: one JSON object a line, in a file that does not grow for ever."""

import json
import logging
import logging.handlers
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_MAX_BYTES = 2_000_000


class JsonLog:
    """Writes lines to ``path`` (one old file is kept) and remembers the newest 500."""

    def __init__(self, path: Path) -> None:
        self._handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=_MAX_BYTES, backupCount=1, encoding="utf-8"
        )
        self._tail: deque[dict[str, Any]] = deque(maxlen=500)

    def write(self, level: str, event: str, **fields: Any) -> None:
        """Append one line: time, level, what happened, and its particulars."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"ts": now, "level": level, "event": event, **fields}
        self._tail.append(line)
        record = logging.LogRecord("checkout", logging.INFO, "", 0, json.dumps(line), None, None)
        self._handler.handle(record)

    def tail(self, lines: int) -> list[dict[str, Any]]:
        """The newest ``lines`` lines, oldest first."""
        return list(self._tail)[-lines:] if lines > 0 else []

    def close(self) -> None:
        """Close the file."""
        self._handler.close()
