"""One of our images' programs as a child process on free ports of loopback. It says in its log when it serves, and where."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

READY_SECONDS = 120


@dataclass
class Served:
    """A program that serves. `logs` grows while it runs."""

    process: asyncio.subprocess.Process
    ports: dict[str, int] = field(default_factory=dict)
    logs: list[dict[str, object]] = field(default_factory=list)

    def url(self, listener: str) -> str:
        """The base URL of one of its listeners."""
        return f"http://127.0.0.1:{self.ports[listener]}"


@asynccontextmanager
async def serving(module: str, *arguments: str, **environment: str) -> AsyncIterator[Served]:
    """`python -m module arguments` with this environment beside the host's, until the block ends."""
    fixed = {"RAG_PORT": "0", "RAG_METRICS_PORT": "0", "RAG_DRAIN_SECONDS": "0"}
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    served = Served(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            env={**os.environ, **paths, **fixed, **environment},
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
    )
    ready = asyncio.Event()
    reader = asyncio.create_task(_read(served, ready))
    try:
        async with asyncio.timeout(READY_SECONDS):
            await ready.wait()
        if not served.ports:
            raise RuntimeError(f"{module} ended before it was ready: {served.logs[-3:]}")
        yield served
    finally:
        if served.process.returncode is None:
            served.process.kill()
        await served.process.wait()
        await reader


async def _read(served: Served, ready: asyncio.Event) -> None:
    """Keep the log; `ready` is set when the program serves or ended."""
    assert served.process.stderr is not None
    async for line in served.process.stderr:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"message": line.decode(errors="replace")}
        served.logs.append(entry)
        if entry.get("message") == "ready":
            served.ports = entry["ports"]
            ready.set()
    ready.set()
