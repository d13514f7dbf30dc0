"""One Milvus with two small indexes of different dimensions, stand-ins for embedders and generator, and gateways as processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import pytest_asyncio
from pymilvus import MilvusClient

# A fixture is used by being there.
from cluster.fixtures import api_server as api_server  # noqa: PLC0414
from cluster.fixtures import fresh_api_server as fresh_api_server  # noqa: PLC0414
from cluster.fixtures import milvus_server as milvus_server  # noqa: PLC0414
from cluster.milvus import MilvusServer
from doubles.corpus import CHUNKS, DOCUMENTS, LARGE, SMALL, Indexed, chunks
from doubles.embedder import EmbedderDouble
from doubles.gateway import LONG_PATIENCE, SHORT_PATIENCE, GatewayProcess
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


@pytest_asyncio.fixture(loop_scope="session")
async def small() -> AsyncIterator[EmbedderDouble]:
    async with EmbedderDouble(SMALL) as double:
        yield double


@pytest_asyncio.fixture(loop_scope="session")
async def large() -> AsyncIterator[EmbedderDouble]:
    async with EmbedderDouble(LARGE) as double:
        yield double


@pytest_asyncio.fixture(loop_scope="session")
async def generator() -> AsyncIterator[GeneratorDouble]:
    async with GeneratorDouble() as double:
        yield double


@pytest_asyncio.fixture(loop_scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=150)) as session:
        yield session


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway for all tests that neither end it nor try its patience; it caches nothing."""
    directory = tmp_path_factory.mktemp("gateway")
    async with GatewayProcess(directory, RAG_PIPELINE="handbook", RAG_VECTOR_CACHE_BYTES="0", **LONG_PATIENCE) as process:
        yield process


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """The same with a short patience, for upstreams that never answer."""
    directory = tmp_path_factory.mktemp("impatient")
    async with GatewayProcess(directory, RAG_PIPELINE="handbook", RAG_VECTOR_CACHE_BYTES="0", **SHORT_PATIENCE) as process:
        yield process
