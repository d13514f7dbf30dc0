"""The servers that are compared, as child processes on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cluster.models import model_dir
from cluster.paths import REPOSITORY, cache_dir, exclusive
from integration.embedder.process import running_embedder

REQUIREMENTS = REPOSITORY / "requirements" / "bench-infinity.txt"
START_SECONDS = 300


@dataclass(frozen=True)
class Target:
    """A running server: the URL of its embeddings, and its process."""

    url: str
    pid: int


async def child(module: str, *arguments: str) -> asyncio.subprocess.Process:
    """One of our programs that is talked to by lines."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", module, *arguments)
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment, limit=1 << 20)


@asynccontextmanager
async def ours(precision: str) -> AsyncIterator[Target]:
    """Our embedder."""
    async with running_embedder(RAG_PRECISION=precision) as embedder:
        yield Target(f"{embedder.url}/v1/embeddings", embedder.process.pid)


@asynccontextmanager
async def infinity() -> AsyncIterator[Target]:
    """infinity-emb with its default engine (torch) and settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [_environment() / "bin" / "infinity_emb", "v2", "--model-id", model_dir("minilm"), "--served-model-name", "minilm"]
    command += ["--host", "127.0.0.1", "--port", port, "--engine", "torch", "--device", "cpu", "--log-level", "warning"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONPATH": ""}
    process = await asyncio.create_subprocess_exec(*map(str, command), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await asyncio.wait_for(_healthy(f"http://127.0.0.1:{port}/health", process), START_SECONDS)
        yield Target(f"http://127.0.0.1:{port}/embeddings", process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _healthy(url: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as client:
        while not await _answers(client, url):
            if process.returncode is not None:
                raise RuntimeError(f"infinity-emb ended with code {process.returncode}")
            await asyncio.sleep(0.2)  # it offers no other way to learn that it is up


async def _answers(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


def _environment() -> Path:
    """infinity-emb's own virtual environment, in the cache; made once (5.6 GB, as torch's wheels carry CUDA)."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    home = cache_dir() / f"bench-infinity-{key}"
    with exclusive(home.with_suffix(".lock")):
        if not (home / ".complete").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
            uv = Path(sys.executable).with_name("uv")
            python = str(home / "bin" / "python")
            subprocess.run([str(uv), "pip", "install", "-q", "--python", python, "--require-hashes", "-r", str(REQUIREMENTS)], check=True)
            (home / ".complete").touch()
    return home
