"""Where things lie: a cache that outlives clusters and a state directory that belongs to the one that runs.

Nothing is ever written into the checkout.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent.parent


def cache_dir() -> Path:
    """Downloads, binaries and images: kept between clusters, safe to delete."""
    chosen = os.environ.get("RAG_CACHE")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "rag-operator"


def state_dir(name: str) -> Path:
    """Certificates, configuration, sockets and logs of the cluster called `name`; removed when it goes down."""
    return Path(os.environ.get("RAG_STATE", "/run")) / f"{name}-cluster"


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; a second process waits. The kernel releases it when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory in the cache for work in progress; those of processes that were killed are removed on the way."""
    top = cache_dir() / "scratch"
    top.mkdir(parents=True, exist_ok=True)
    for left in top.iterdir():
        if not Path("/proc", left.name.partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=top) as name:
        yield Path(name)


def write_if_changed(path: Path, text: str, mode: int = 0o644) -> bool:
    """Replace `path` atomically, so that readers never see half of it; return whether its content changed."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    temporary.replace(path)
    return True
