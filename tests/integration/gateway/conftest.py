"""One Milvus with two small indexes of different dimensions, stand-ins for embedders and generator, and gateways as processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from pymilvus import MilvusClient

from cluster.fixtures import milvus_server as milvus_server  # noqa: PLC0414  a fixture is used by being there
from cluster.milvus import MilvusServer
from doubles.corpus import CHUNKS, DOCUMENTS, LARGE, SMALL, Indexed, chunks
from doubles.embedder import EmbedderDouble
from doubles.gateway import GatewayProcess
from doubles.generator import GeneratorDouble
from rag_runtime.milvus.schema import Owner, Shape
from rag_runtime.milvus.store import MilvusIndex


@pytest.fixture(scope="session")
def indexes(milvus_server: MilvusServer) -> Iterator[tuple[Indexed, Indexed]]:
    """The small and the large one; the same documents, vectors of other models."""
    client = MilvusClient(uri=milvus_server.uri)
    made = []
    for dimensions in (SMALL, LARGE):
        name = f"gateway_{dimensions}"
        index = MilvusIndex(client, name)
        parameters = {"M": 16, "efConstruction": 64}
        index.create(Shape(dimensions=dimensions, parameters=parameters), Owner("test", "gateway", name))
        index.insert_chunks(chunks(dimensions))
        assert index.count_chunks() == DOCUMENTS * CHUNKS  # a Strong read: from here on every reader sees them
        made.append(Indexed(milvus_server.uri.removeprefix("http://"), name, dimensions))
    yield made[0], made[1]
    client.close()


@pytest.fixture
async def small() -> AsyncIterator[EmbedderDouble]:
    async with EmbedderDouble(SMALL) as double:
        yield double


@pytest.fixture
async def large() -> AsyncIterator[EmbedderDouble]:
    async with EmbedderDouble(LARGE) as double:
        yield double


@pytest.fixture
async def generator() -> AsyncIterator[GeneratorDouble]:
    async with GeneratorDouble() as double:
        yield double


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway whose patience is short, so that tests of patience are."""
    async with GatewayProcess(
        tmp_path, RAG_PIPELINE="handbook", RAG_RETRIEVAL_TIMEOUT="1500ms", RAG_FIRST_TOKEN_TIMEOUT="1s", RAG_TOKEN_TIMEOUT="1s"
    ) as process:
        yield process
