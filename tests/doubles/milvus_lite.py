"""milvus-lite as a TCP server of its own: the second server that the Milvus port is tested on."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 120.0


class MilvusLite:
    """A context manager around one server on a free port of loopback."""

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="rag-milvus-lite-"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        program = Path(sys.executable).parent / "milvus-lite"
        command = [str(program), "server", "--data-dir", str(self.directory), "--host", "127.0.0.1", "--port", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait(port)
        return self

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", port), 1):
                    return
            except OSError:
                time.sleep(0.1)  # between two tries to connect
        self.__exit__(None, None, None)
        raise RuntimeError("milvus-lite did not start")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
