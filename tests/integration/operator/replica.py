"""Replicas of the operator as processes of their own, quick to start: a nursery imports everything once and forks each of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]
_NURSERY = """
import asyncio, json, os, signal, sys
import kopf, kubernetes.aio.config
from rag_operator.settings import Settings
from rag_operator.shell import logs
from rag_operator.shell.app import App
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out, 2)
        os.dup2(out, 1)
        logs.configure(order["settings"].get("log_level", "info"))
        if order["bug"]:
            from integration.operator import bugs
            bugs.plant(order["bug"])
        os._exit(asyncio.run(App(Settings(**order["settings"])).run()))
    print(child, flush=True)
"""
# Short times, so that a test sees in seconds what takes minutes in a cluster. Requests have time enough for a busy machine, and so has a
# leader: one that stands still as long as a cluster allows would end, and nobody starts it again. Who is started anew has the same name.
QUICK: dict[str, object] = {
    "metrics_host": "127.0.0.1",
    "metrics_port": 0,
    "lease_duration": 120.0,
    "renew_deadline": 100.0,
    "retry_period": 0.5,
    "write_timeout": 5.0,
    "read_timeout": 10.0,
    "resync": 3.0,
    "backoff_first": 0.1,
    "backoff_limit": 2.0,
    "gateway_scrape_timeout": 0.5,
}


class Replica:
    """One process of the operator. `since`: when it was started, by the monotonic clock."""

    def __init__(self, pid: int, log: Path, identity: str, since: float) -> None:
        self.pid, self.log = pid, log
        self.identity, self.since = identity, since

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        self.signal(signal.SIGKILL)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    async def gone(self, within: float = 60.0) -> None:
        """Wait until it has ended."""
        async with asyncio.timeout(within):
            while self.alive:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)

    def lines(self) -> list[dict[str, object]]:
        """Its log."""
        text = self.log.read_text() if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Nursery:
    """Forks replicas. Use it as an asynchronous context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None
        self._replicas: list[Replica] = []
        self._one_order = asyncio.Lock()

    async def __aenter__(self) -> Nursery:
        roots = os.pathsep.join(str(_ROOT / root) for root in ("operator", "images/common", "tests"))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RAG_OPERATOR_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _NURSERY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**environment, "PYTHONPATH": roots},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for replica in self._replicas:
            replica.signal(signal.SIGCONT)
            replica.kill()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def start(self, name: str, **settings: object) -> Replica:
        """Start a replica with these settings beside the quick ones."""
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the nursery is not open")
        log = self._directory / f"{name}.log"
        bug = settings.pop("bug", None)
        known = {**QUICK, "identity": name, **settings}
        order = {"log": str(log), "bug": bug, "settings": known}
        async with self._one_order:
            since = time.monotonic()
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()
            replica = Replica(int(await self._process.stdout.readline()), log, str(known["identity"]), since)
        self._replicas.append(replica)
        return replica
