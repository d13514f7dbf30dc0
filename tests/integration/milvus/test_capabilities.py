"""What a server lacks is found out and refused in words; what it ignores is listed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymilvus import MilvusClient

from rag_runtime.contracts import collections as names
from rag_runtime.milvus.capabilities import Capabilities, _scratch, probe, require
from rag_runtime.milvus.errors import UnsupportedError
from rag_runtime.milvus.schema import Owner, Shape
from rag_runtime.milvus.store import MilvusIndex

SHAPE = Shape(dimensions=8, shards=4, parameters={"M": 16, "efConstruction": 100})
COLLECTION = "rag_capabilities"
OWNER = Owner("cluster", "team", "handbook-index")


@pytest.fixture(scope="module")
def found(client: MilvusClient) -> Capabilities:
    return probe(client, SHAPE, COLLECTION, OWNER)


def test_both_servers_have_what_an_index_needs(found: Capabilities) -> None:
    require(found, SHAPE)
    assert found.acl_filter


def test_shards_that_a_server_does_not_make_are_told(found: Capabilities) -> None:
    if found.server_version.startswith("milvus_lite"):
        assert found.ignored(SHAPE) == [f"shards: 4 asked for, Milvus {found.server_version} makes 1"]
    else:
        assert found.ignored(SHAPE) == []


def test_lexical_search_is_known_where_it_is(found: Capabilities) -> None:
    assert found.hybrid_search == found.server_version.startswith("milvus_lite")


def test_an_index_that_the_server_cannot_build_is_refused(client: MilvusClient) -> None:
    # The parts of a product quantiser must divide the dimensions.
    impossible = Shape(dimensions=8, kind="ivfPq", parameters={"nlist": 16, "m": 3, "nbits": 8})
    seen = probe(client, impossible, COLLECTION, OWNER)
    if seen.server_version.startswith("milvus_lite"):
        assert isinstance(seen, Capabilities)  # it takes any parameters
    else:
        with pytest.raises(UnsupportedError, match="lacks the index kind ivfPq"):
            require(seen, impossible)


def test_everything_that_is_missing_is_named_at_once(found: Capabilities) -> None:
    poor = replace(found, strong_count=False, metadata_filter=False)
    with pytest.raises(UnsupportedError, match=r"Strong counts; .*filters over JSON metadata"):
        require(poor, SHAPE)


def test_the_scratch_collections_are_gone(client: MilvusClient, found: Capabilities) -> None:
    assert found.properties
    assert scratch(client, COLLECTION) == []


def test_what_a_killed_probe_left_goes_with_the_index_and_nothing_else_does(client: MilvusClient) -> None:
    others, longer = Owner("cluster", "team", "another-index"), f"{COLLECTION}s"
    # A process that is killed never comes to the end of it.
    left = [_scratch(client, SHAPE, *whose) for whose in ((COLLECTION, OWNER), (COLLECTION, others), (longer, OWNER))]
    mine, foreign, neighbour = [each.__enter__() for each in left]
    try:
        assert MilvusIndex(client, COLLECTION).drop(OWNER) is False, "the index itself was never made"
        assert scratch(client, COLLECTION) == [foreign]
        assert scratch(client, longer) == [neighbour]
    finally:
        for name in (mine, foreign, neighbour):
            client.drop_collection(name)


def scratch(client: MilvusClient, collection: str) -> list[str]:
    return [name for name in client.list_collections() if names.is_scratch(name, collection)]
