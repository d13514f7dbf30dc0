"""Indexes in a real Milvus and in milvus-lite, an embedder that counts, and a directory of documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymilvus import MilvusClient

# A fixture is used by being there.
from cluster.fixtures import api_server as api_server  # noqa: PLC0414
from cluster.fixtures import milvus_server as milvus_server  # noqa: PLC0414
from cluster.milvus import MilvusServer
from doubles.embedder import EmbedderDouble
from doubles.indexing import DIMENSIONS, Corpus, Rig
from doubles.milvus_lite import MilvusLite
from doubles.ragindex import manifest
from integration.indexer.alone import DOCUMENTS, Alone
from rag_runtime.milvus.connection import Target, connect


@pytest.fixture(scope="session")
def milvus_address(milvus_server: MilvusServer) -> str:
    return milvus_server.uri.removeprefix("http://")


@pytest.fixture(scope="session")
def real_client(milvus_address: str) -> Iterator[MilvusClient]:
    client = connect(Target(milvus_address))
    yield client
    client.close()


@pytest.fixture(scope="session")
def lite_address() -> Iterator[str]:
    with MilvusLite() as server:
        yield server.address


@pytest.fixture(scope="session")
def lite_client(lite_address: str) -> Iterator[MilvusClient]:
    client = connect(Target(lite_address))
    yield client
    client.close()


@pytest_asyncio.fixture
async def double() -> AsyncIterator[EmbedderDouble]:
    async with EmbedderDouble(DIMENSIONS) as embedder:
        yield embedder


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "sources" / "docs")


@pytest.fixture
def lite(lite_client: MilvusClient, double: EmbedderDouble, tmp_path: Path) -> Iterator[Rig]:
    """An index in milvus-lite: a pass takes a tenth of a second."""
    rig = Rig(lite_client, double, tmp_path)
    yield rig
    rig.drop()


@pytest.fixture
def real(real_client: MilvusClient, double: EmbedderDouble, tmp_path: Path) -> Iterator[Rig]:
    """An index in the real server: a pass with writes takes some seconds."""
    rig = Rig(real_client, double, tmp_path)
    yield rig
    rig.drop()


@pytest.fixture
def alone(tmp_path: Path, capsys: pytest.CaptureFixture[str], corpus: Corpus) -> Alone:
    corpus.become(DOCUMENTS)
    return Alone(tmp_path, capsys)


@pytest.fixture
def index(lite_address: str, double: EmbedderDouble) -> dict[str, Any]:
    return manifest(lite_address, double.url)
