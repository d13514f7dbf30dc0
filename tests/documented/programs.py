"""The servers that a page starts, typed like any other command but on free ports of loopback. I/O."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from documented.pages import ROOT
from documented.shell import Shell

START_SECONDS = 120
FREE_PORTS = {"RAG_HOST": "127.0.0.1", "RAG_PORT": "0", "RAG_PREVIEW_PORT": "0", "RAG_METRICS_PORT": "0", "RAG_DRAIN_SECONDS": "0"}


def checkout(directory: Path) -> Path:
    """A directory that looks like the checkout to a command, and may be written to."""
    for name in (".venv", "images"):
        (directory / name).symlink_to(ROOT / name)
    return directory


@asynccontextmanager
async def typed(shell: Shell, command: str, swapped: Mapping[str, str] | None = None) -> AsyncIterator[dict[str, int]]:
    """Type a documented command that starts a server, until the block ends. Yields the ports that its log says it listens on."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", shell.line(command, swapped)),
        cwd=shell.directory,
        env={**shell.whole_environment(), **FREE_PORTS},
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=1 << 20,
    )
    reading: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()
    reader = asyncio.create_task(_read(process, reading))
    try:
        yield await asyncio.wait_for(reading, START_SECONDS)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # bash has become the server, or has it as a child
        await process.wait()
        await reader


async def _read(process: asyncio.subprocess.Process, ports: asyncio.Future[dict[str, int]]) -> None:
    assert process.stderr is not None
    said = ""
    async for line in process.stderr:
        said += line.decode(errors="replace")
        if line.startswith(b"{") and (entry := json.loads(line)).get("message") == "ready":
            ports.set_result(entry["ports"])
    if not ports.done():
        ports.set_exception(RuntimeError(f"the server ended before it was ready:\n{said}"))
