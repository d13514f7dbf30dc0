"""Ports for servers that are about to start."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from cluster import ports

FEW = 20
TAKE = f"""
import sys
from cluster import ports
ports.FIRST, ports.LAST = 14000, {14000 + 3 * FEW - 1}
print(*ports.free_ports({FEW}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few ports that chance alone does not find different ones."""
    monkeypatch.setattr(ports, "FIRST", 14000)
    monkeypatch.setattr(ports, "LAST", 14000 + 3 * FEW - 1)
    monkeypatch.setattr(ports, "_ours", set())


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", ports.free_port()))


@pytest.mark.usefixtures("few")
def test_no_port_is_given_twice_not_even_to_another_process() -> None:
    with subprocess.Popen([sys.executable, "-c", TAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = other.stdout.readline().split()
        ours = ports.free_ports(FEW)
        other.communicate()
    assert len({*map(int, theirs), *ours}) == 2 * FEW
