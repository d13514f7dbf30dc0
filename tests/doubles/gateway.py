"""A gateway as a process of its own, answering by a table in a file."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp

from rag_runtime.contracts.routing import RoutingTable

READY_SECONDS = 90
# For tests of patience alone: elsewhere a machine that stands still for some seconds must change nothing.
SHORT_PATIENCE = {"RAG_RETRIEVAL_TIMEOUT": "3s", "RAG_FIRST_TOKEN_TIMEOUT": "3s", "RAG_TOKEN_TIMEOUT": "2s", "RAG_REQUEST_TIMEOUT": "20s"}
LONG_PATIENCE = {
    "RAG_RETRIEVAL_TIMEOUT": "60s",
    "RAG_FIRST_TOKEN_TIMEOUT": "60s",
    "RAG_TOKEN_TIMEOUT": "60s",
    "RAG_REQUEST_TIMEOUT": "120s",
}


class GatewayProcess:
    """`async with GatewayProcess(directory) as gateway`: ready once a table is there. Environment beyond the defaults by keyword."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self._directory = directory
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ports: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()
        self.logs: list[dict[str, object]] = []
        self.table_file = directory / "table.json"
        self.epoch = 0
        self.public = self.preview = self.metrics_url = ""

    async def __aenter__(self) -> Self:
        fixed = {
            "RAG_HOST": "127.0.0.1",
            "RAG_PORT": "0",
            "RAG_PREVIEW_PORT": "0",
            "RAG_METRICS_PORT": "0",
            "RAG_DRAIN_SECONDS": "0",
            "RAG_API_KEYS_DIR": str(self._directory / "no-keys"),
            "RAG_CREDENTIALS_DIR": str(self._directory / "credentials"),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        source = {} if "RAG_TABLE_CONFIGMAP" in self._environment else {"RAG_TABLE_FILE": str(self.table_file)}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rag_gateway",
            env={**os.environ, **fixed, **source, **self._environment},
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        self._reader = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(READY_SECONDS):
                ports = await self._ports
        except BaseException:
            await self.__aexit__()
            raise
        self.public, self.preview = (f"http://127.0.0.1:{ports[name]}" for name in ("public", "preview"))
        self.metrics_url = f"http://127.0.0.1:{ports['metrics']}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    def publish(self, table: RoutingTable) -> None:
        """Let the gateway find `table`, as a ConfigMap's volume would: whole or not at all."""
        fresh = self.table_file.with_suffix(".new")
        fresh.write_text(table.to_json())
        fresh.rename(self.table_file)
        self.epoch = table.epoch

    async def serving(self, epoch: int) -> None:
        """Returns when the gateway acknowledges `epoch`."""
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
            while await self.metric("rag_gateway_epoch_served", session) < epoch:  # noqa: ASYNC110  it is another process
                await asyncio.sleep(0.02)

    async def reaches(self, name: str, value: float) -> None:
        """Returns when a metric has this value: a caller has its whole answer a moment before the gateway has done with it."""
        async with asyncio.timeout(READY_SECONDS):
            while await self.metric(name) != value:  # noqa: ASYNC110  it is another process
                await asyncio.sleep(0.02)

    async def metric(self, name: str, session: aiohttp.ClientSession | None = None) -> float:
        """A metric without labels, or with the labels as part of `name`, from one scrape; 0 when it is not there."""
        return (await self.metrics((name,), session))[0]

    async def metrics(self, names: tuple[str, ...], session: aiohttp.ClientSession | None = None) -> list[float]:
        """Several from one scrape."""
        if session is None:
            async with aiohttp.ClientSession() as own:
                return await self.metrics(names, own)
        async with session.get(self.metrics_url + "/metrics") as response:
            text = await response.text()
        found = [re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE) for name in names]
        return [float(each[1]) if each else 0.0 for each in found]

    def terminate(self) -> None:
        """SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """The exit code, when it has ended."""
        assert self._process is not None
        return await self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"message": line.decode(errors="replace")}
            self.logs.append(entry)
            if entry.get("message") == "ready" and not self._ports.done():
                self._ports.set_result(entry["ports"])
        if not self._ports.done():
            self._ports.set_exception(RuntimeError(f"the gateway ended before it was ready: {self.logs[-3:]}"))


async def ask(http: aiohttp.ClientSession, url: str, body: Any, **headers: str) -> tuple[int, Mapping[str, str], Any]:
    """Status, headers and parsed body of one POST; underscores in header names stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.post(url, json=body, headers=named) as response:
        return response.status, response.headers, json.loads(await response.read())
