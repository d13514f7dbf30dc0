"""The Milvus port on both servers it is promised for: the real one, and milvus-lite over TCP."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from pymilvus import MilvusClient

# A fixture is used by being there.
from cluster.fixtures import milvus_server as milvus_server  # noqa: PLC0414
from doubles.milvus_lite import MilvusLite
from rag_runtime.milvus.connection import Target, connect
from rag_runtime.milvus.schema import Owner, Shape
from rag_runtime.milvus.store import MilvusIndex

OWNER = Owner("cluster-1", "search", "handbook-index-1")
SHAPE = Shape(dimensions=8, shards=2, parameters={"M": 16, "efConstruction": 100})
_numbers = itertools.count()


@pytest.fixture(scope="session", params=["milvus", "milvus-lite"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "milvus":
        yield request.getfixturevalue("milvus_server").uri.removeprefix("http://")
    else:
        with MilvusLite() as server:
            yield server.address


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[MilvusClient]:
    connected = connect(Target(address))
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def shared(client: MilvusClient) -> Iterator[MilvusIndex]:
    """One index for all tests of a module: each uses documents of its own."""
    index = MilvusIndex(client, f"contract_{next(_numbers)}")
    index.create(SHAPE, OWNER)
    yield index
    index.drop(OWNER)
