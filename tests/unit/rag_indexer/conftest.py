"""A syncer and an embedder for each test that asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from doubles.embedder import EmbedderDouble
from doubles.indexing import DIMENSIONS
from doubles.syncing import World


@pytest_asyncio.fixture
async def double() -> AsyncIterator[EmbedderDouble]:
    async with EmbedderDouble(DIMENSIONS) as embedder:
        yield embedder


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.close()
