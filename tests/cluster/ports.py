"""Ports of loopback for servers that are about to start, given to one process of a machine at a time."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

FIRST, LAST = 15000, 29999  # below the range the kernel gives to outgoing connections

_ours: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on. Until this process ends nobody else is given it, though a server binds it only seconds later."""
    while True:
        port = random.SystemRandom().randint(FIRST, LAST)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _reserve(port)
            return port


def free_ports(count: int) -> list[int]:
    """So many different free ports."""
    return [free_port() for _ in range(count)]


def _reserve(port: int) -> None:
    """Lock the port's byte of a file of this user's; OSError when it was given away."""
    if port in _ours:  # a process may lock again what it has locked
        raise BlockingIOError
    fcntl.lockf(_book(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    _ours.add(port)


@cache
def _book() -> int:
    # Never closed: that would give back every lock.
    return os.open(Path(tempfile.gettempdir()) / f"rag-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
