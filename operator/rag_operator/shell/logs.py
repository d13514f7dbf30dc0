"""Logs as JSON lines. What is passed as `extra` becomes a field of the line."""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final

import orjson

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOISY: Final = ("aiohttp.access", "kopf._core.reactor", "kopf._core.engines", "kopf.objects", "kopf.activities")

_WATCHES: Final = "kopf._cogs.clients.watching"
_REFUSED: Final = re.compile(r"will retry: GET ([^ ?]+)\S* -> APIForbiddenError")
_SAID_FOR: Final = 600.0  # seconds


class JsonFormatter(logging.Formatter):
    """One line of JSON for a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD and isinstance(value, str | int | float | bool)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


class Refusals(logging.Filter):
    """Lets it be said now and then that a watch is refused: kopf says it every five seconds, for ever where a namespace is gone."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this is news."""
        refused = _REFUSED.search(record.getMessage())
        if refused is None:
            return True
        last = self._said.get(refused[1])
        if last is not None and record.created - last < _SAID_FOR:
            return False
        self._said[refused[1]] = record.created
        return True


def configure(level: str) -> None:
    """Send everything to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger(_WATCHES).addFilter(Refusals())
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
