"""Logs as JSON lines with the request id, pipeline and revision of the work they belong to.

`configure()` once at start. `bind(revision=...)` sets what the current task's lines carry; child tasks inherit it. Values passed as
`extra={...}` become members of the line. Nothing here ever prints headers or environment, so no secret can slip in.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

_context: ContextVar[Mapping[str, str]] = ContextVar("log_context", default={})  # noqa: B039  it is never mutated
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._:/+=-]{1,128}$")

# Talk about their own insides at INFO.
_QUIET = ("uvicorn.error", "httpx", "httpx2", "httpcore", "pymilvus", "aiohttp.access", "asyncio")


class JsonFormatter(logging.Formatter):
    """One record, one JSON object on one line."""

    def __init__(self, static: Mapping[str, str]) -> None:
        super().__init__()
        self._static = {name: value for name, value in static.items() if value}

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger and message, then the static, bound and extra members."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._static,
            **_context.get(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode(errors="replace")
        except orjson.JSONEncodeError:  # a file's name that is not UTF-8, or a number of more than 64 bits
            return json.dumps(line, default=str, skipkeys=True)


def configure(level: str = "INFO", *, stream: TextIO | None = None, **static: str) -> None:
    """Send every logger's lines to `stream` (standard error), with the `static` members (pipeline, component, pod) on each."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(static))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def bind(**members: str | None) -> Iterator[None]:
    """Add members to the lines of the current task until the block ends."""
    known = {name: value for name, value in members.items() if value is not None}
    token = _context.set({**_context.get(), **known})
    try:
        yield
    finally:
        _context.reset(token)


def bound(name: str) -> str | None:
    """What is bound under `name`, for example `request_id` to forward it."""
    return _context.get().get(name)


def request_id(offered: str | None) -> str:
    """The caller's id when it is harmless to log and forward, else a new one."""
    return offered if offered and _REQUEST_ID.match(offered) else secrets.token_hex(8)
