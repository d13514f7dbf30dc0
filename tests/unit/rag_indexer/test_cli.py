"""How a command ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from rag_indexer import cli
from rag_indexer.settings import Settings


async def test_a_signal_ends_a_command_at_once_and_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started, closed = asyncio.Event(), asyncio.Event()

    async def works_on(_chosen: str, _settings: Settings) -> int:
        started.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            closed.set()
        return 0

    monkeypatch.setattr(cli, "_run", works_on)
    running = asyncio.ensure_future(cli._until_stopped("build", Settings(work=tmp_path)))
    async with asyncio.timeout(60):
        await started.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == cli.STOPPED == 143
    assert closed.is_set()


async def test_a_command_that_is_left_alone_ends_with_its_own_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def ends(_chosen: str, _settings: Settings) -> int:
        return 2

    monkeypatch.setattr(cli, "_run", ends)
    assert await cli._until_stopped("build", Settings(work=tmp_path)) == 2
