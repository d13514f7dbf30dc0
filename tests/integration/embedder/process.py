"""A real embedder as a child process on free ports of loopback, for tests of anything that needs embeddings."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from cluster.models import Name, model_dir

ROOT = Path(__file__).parents[3]
START_SECONDS = 120


@dataclass
class EmbedderProcess:
    """A serving embedder. `log` grows while it runs."""

    process: asyncio.subprocess.Process
    url: str
    metrics_url: str
    name: str
    log: list[dict[str, object]] = field(default_factory=list)

    async def metric(self, name: str, **labels: str) -> float:
        """The value of one sample in /metrics; 0 when it is not there yet."""
        async with aiohttp.ClientSession() as client, client.get(f"{self.metrics_url}/metrics") as answer:
            text = await answer.text()
        for line in text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.split("{")[0] == name and all(f'{key}="{wanted}"' in sample for key, wanted in labels.items()):
                return float(value)
        return 0.0

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


async def spawn(**env: str) -> asyncio.subprocess.Process:
    """`python -m rag_embedder` with exactly this configuration."""
    roots = os.pathsep.join(str(ROOT / "images" / part) for part in ("common", "embedder"))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rag_embedder", env={**kept, "PYTHONPATH": roots, **env}, stderr=asyncio.subprocess.PIPE, limit=1 << 20
    )


@asynccontextmanager
async def running_embedder(model: Name = "minilm", **env: str) -> AsyncIterator[EmbedderProcess]:
    """Serve one of the test models. Keyword arguments are environment variables; the served name is the model's."""
    defaults = {
        "RAG_MODEL": str(model_dir(model)),
        "RAG_MODEL_NAME": model,
        "RAG_PORT": "0",
        "RAG_METRICS_PORT": "0",
        "RAG_DRAIN_SECONDS": "0",
    }
    process = await spawn(**{**defaults, **env})
    log: list[dict[str, object]] = []
    try:
        ports = await asyncio.wait_for(_ports(process, log), START_SECONDS)
        follow = asyncio.create_task(_follow(process, log))
        host = "http://127.0.0.1"
        yield EmbedderProcess(process, f"{host}:{ports['api']}", f"{host}:{ports['metrics']}", {**defaults, **env}["RAG_MODEL_NAME"], log)
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(follow, 60)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ports(process: asyncio.subprocess.Process, log: list[dict[str, object]]) -> dict[str, int]:
    async for line in _lines(process, log):
        if line.get("message") == "ready":
            ports = line["ports"]
            assert isinstance(ports, dict)
            return ports
    raise RuntimeError(f"the embedder ended before it was ready: {log}")


async def _follow(process: asyncio.subprocess.Process, log: list[dict[str, object]]) -> None:
    async for _ in _lines(process, log):
        pass


async def _lines(process: asyncio.subprocess.Process, log: list[dict[str, object]]) -> AsyncIterator[dict[str, object]]:
    assert process.stderr is not None
    while text := await process.stderr.readline():
        try:
            line = json.loads(text)
        except ValueError:
            line = {"message": text.decode(errors="replace").rstrip()}
        log.append(line)
        yield line
