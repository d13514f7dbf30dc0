"""A real Milvus standalone server on loopback, for tests of the data plane.

    with MilvusServer() as milvus:
        client = MilvusClient(uri=milvus.uri)
        milvus.kill(); milvus.start()          # its data are still there

Ready takes 4 to 8 s, a restart up to 13 s. A collection that was loaded before a restart may answer "not loaded" (code
101) for some seconds more: clients retry. Start it from the main thread: it dies with the thread that started it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster import processes
from cluster.commands import run
from cluster.milvus_files import DEFAULT_PORTS, configure, unpack
from cluster.paths import PACKAGE, cache_dir, exclusive, scratch_directory
from cluster.ports import free_ports
from cluster.processes import Component, wait_ready
from cluster.steps import step

_REQUIREMENTS = PACKAGE / "images" / "milvus" / "requirements.txt"


def server_files() -> Path:
    """The unpacked server in the cache; downloaded and unpacked on first use."""
    parts = _REQUIREMENTS.read_bytes() + (PACKAGE / "milvus_files.py").read_bytes()
    target = cache_dir() / f"milvus-{sha256(parts).hexdigest()[:12]}"
    with exclusive(cache_dir() / ".milvus.lock"):
        if not target.exists():
            with step("download and unpack Milvus"), scratch_directory() as temporary:
                pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
                run([*pip, "-r", _REQUIREMENTS, "-d", temporary])
                unpack(next(temporary.glob("*.whl")), temporary / "files")
                (temporary / "files").rename(target)
    return target


class MilvusServer:
    """A context manager around one server with ports and a directory of its own."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """`settings`: members of milvus.yaml as the server reads them from its environment, such as COMMON_SECURITY_TLSMODE."""
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = dict(settings or {})

    def __enter__(self) -> Self:
        files = server_files()
        self.directory = Path(tempfile.mkdtemp(prefix="rag-milvus-"))
        self.metrics_port, *ports = free_ports(len(DEFAULT_PORTS) + 1)
        self._ports = dict(zip(DEFAULT_PORTS, ports, strict=True))
        configuration = configure(files, self.directory, self._ports)
        self._component = Component(
            name="milvus",
            command=(str(files / "milvus"), "run", "standalone"),
            log=self.directory / "milvus.log",
            ready=self._queryable,
            environment={
                "DEPLOY_MODE": "STANDALONE",
                "METRICS_PORT": str(self.metrics_port),
                "MILVUSCONF": str(configuration.parent),
                "MILVUS_RUN_DIR": str(self.directory / "run"),
                "LD_LIBRARY_PATH": str(files),
                **self._settings,
            },
            timeout=120,
        )
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def uri(self) -> str:
        """What a Milvus client connects to."""
        return f"http://127.0.0.1:{self._ports['proxy_port']}"

    @property
    def log(self) -> Path:
        """The server's output."""
        return self._component.log

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._alive().pid

    def start(self) -> None:
        """Start the server, or start it again after `kill`, and wait until it answers."""
        process = processes.start(self._component, self.directory)
        self._process = process
        wait_ready(self._component, alive=lambda: process.poll() is None)

    def kill(self) -> None:
        """SIGKILL the server and wait until it is gone; its data stay."""
        process = self._alive()
        process.kill()
        process.wait()
        self._process = None
        Path(f"/tmp/milvus/server_id_{process.pid}").unlink(missing_ok=True)  # a path the server has built in

    def restart(self) -> None:
        """Kill the server and start it again with the data it had."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop the server and remove its data; safe to call twice."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this Milvus does not run; call start() first")
        return self._process

    def _queryable(self) -> bool:
        """Health first, then a request that goes through the proxy to the coordinators."""
        if b"OK" not in _get(f"http://127.0.0.1:{self.metrics_port}/healthz"):
            return False
        if self._settings:
            return True  # it may ask for a certificate and a password; whoever set that can ask it
        answer = _get(f"{self.uri}/v1/vector/collections")
        return bool(answer) and json.loads(answer).get("code") == http.client.OK


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            content: bytes = answer.read()
            return content
    except (OSError, http.client.HTTPException):
        return b""
