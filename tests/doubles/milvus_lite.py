"""milvus-lite as a TCP server of its own: the second server that the Milvus port is tested on."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster.ports import free_port
from polling import until

START_SECONDS = 120.0


class MilvusLite:
    """A context manager around one server on a free port of loopback."""

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="rag-milvus-lite-"))
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        program = Path(sys.executable).parent / "milvus-lite"
        command = [str(program), "server", "--data-dir", str(self.directory), "--host", "127.0.0.1", "--port", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: self._serves(port), START_SECONDS, "milvus-lite to start", error=RuntimeError)
        except BaseException:
            self.close()
            raise
        return self

    def _serves(self, port: int) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError("milvus-lite did not start")
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return True
        except OSError:
            return False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop it and remove its data."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
