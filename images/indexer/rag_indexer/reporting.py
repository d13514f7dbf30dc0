"""Telling how it goes: the status of a RAGIndex, or a file when run alone; a summary in JSON; a termination message.

A status is written only when it changed, and not more often than once in `PAUSE_SECONDS`; the last one is always written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import orjson

from rag_indexer.kube import Kube, KubeError

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
# What Kubernetes keeps of a termination message.
MAX_TERMINATION_BYTES = 4_096
MANAGER_SYNC = "rag-indexer"
MANAGER_JOB = "rag-indexer-job"
MANAGER_EVALUATION = "rag-indexer-evaluation"


class Sink(Protocol):
    """Where a status goes."""

    async def apply(self, index: str, status: dict[str, Any], manager: str) -> None:
        """Make `status` all that `manager` says of `index`."""


class KubeSink:
    """The status subresource."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def apply(self, index: str, status: dict[str, Any], manager: str) -> None:
        """A server-side apply."""
        await self._kube.apply_status(index, status, manager)


class FileSink:
    """A file that holds the status of every index, for running alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def apply(self, index: str, status: dict[str, Any], manager: str) -> None:
        """Replace this manager's fields, atomically."""
        del manager
        known = orjson.loads(self._path.read_bytes()) if self._path.exists() else {}
        known[index] = {**known.get(index, {}), **status}
        draft = self._path.with_suffix(".draft")
        draft.write_bytes(orjson.dumps(known, option=orjson.OPT_INDENT_2))
        draft.replace(self._path)


class NoSink:
    """Nobody asked."""

    async def apply(self, index: str, status: dict[str, Any], manager: str) -> None:
        """Nothing."""


class Reporter:
    """One index's status by one manager. `changed` is cheap and may be called often; `flush` writes what is not written yet."""

    def __init__(self, sink: Sink, index: str, manager: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sink = sink
        self._index = index
        self._manager = manager
        self._clock = clock
        self._wanted: dict[str, Any] = {}
        self._written: dict[str, Any] | None = None
        self._at = float("-inf")
        self._lock = asyncio.Lock()

    def set(self, **fields: Any) -> None:
        """Change top-level fields of the status; None removes one."""
        self._wanted = {name: value for name, value in {**self._wanted, **fields}.items() if value is not None}

    @property
    def pending(self) -> bool:
        """Whether something is not written yet."""
        return self._wanted != self._written

    async def changed(self) -> None:
        """Write, unless nothing changed or the last write was just now. A failure is logged: the next write makes up for it."""
        if self._clock() - self._at >= PAUSE_SECONDS:
            try:
                await self.flush()
            except KubeError as error:
                logger.warning("failed to write the status", extra={"reason": str(error)})

    async def flush(self) -> None:
        """Write now, if anything changed. Raises `KubeError`."""
        async with self._lock:
            wanted = dict(self._wanted)
            if wanted != self._written:
                self._at = self._clock()
                await self._sink.apply(self._index, wanted, self._manager)
                self._written = wanted


def print_summary(summary: dict[str, Any], termination_log: Path) -> None:
    """The machine-readable end of a command: one line on standard output, and the termination message when it fits."""
    line = orjson.dumps(summary)
    print(line.decode(), flush=True)
    if len(line) <= MAX_TERMINATION_BYTES:
        # Outside a pod there is no such file, and making one is nobody's wish.
        with contextlib.suppress(OSError):
            if termination_log.exists():
                termination_log.write_bytes(line)
