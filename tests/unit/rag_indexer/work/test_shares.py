from __future__ import annotations

import itertools

import pytest

from rag_indexer.work.shapes import shape_of
from rag_indexer.work.shares import Share, bounds, together
from rag_runtime.contracts.index import IndexSpec


@pytest.mark.parametrize("parallelism", [1, 2, 3, 7, 1_024])
def test_shares_cover_every_bucket_once(parallelism: int) -> None:
    spans = [bounds(number, parallelism) for number in range(parallelism)]
    assert spans[0][0] == 0
    assert spans[-1][1] == 1_024
    assert all(one[1] == two[0] for one, two in itertools.pairwise(spans))
    assert all(low < high for low, high in spans)


def test_a_build_is_done_when_every_share_is() -> None:
    one = Share(documents=2, chunks=5, total=3, failed=1, embedded=4, started=10.0, done=True)
    assert together([one, Share()]).done is False
    whole = together([one, Share(documents=1, started=5.0, done=True)])
    assert whole == Share(3, 5, 3, 1, 4, 5.0, done=True)


@pytest.mark.parametrize(
    ("index", "kind", "parameters"),
    [
        ({"hnsw": {"M": 24, "efConstruction": 300}}, "HNSW", {"M": 24, "efConstruction": 300}),
        ({"ivfFlat": {"nlist": 64}}, "IVF_FLAT", {"nlist": 64}),
        ({"ivfSq8": {}}, "IVF_SQ8", {"nlist": 1_024}),
        ({"ivfPq": {"nlist": 8, "m": 4, "nbits": 8}}, "IVF_PQ", {"nlist": 8, "m": 4, "nbits": 8}),
        ({"flat": {}}, "FLAT", {}),
    ],
)
def test_a_layout_becomes_an_index_of_milvus(index: dict[str, object], kind: str, parameters: dict[str, int]) -> None:
    content = {"model": "m", "dimensions": 8}
    spec = IndexSpec.model_validate(
        {
            "pipelineRef": {"name": "p"},
            "identity": {"content": content, "layout": {"shards": 3, "index": {**index, "metric": "IP"}}},
            "collection": "c",
            "embedder": {"url": "http://e", "model": "m", "dimensions": 8},
            "milvus": {"address": "m:1", "replicas": 2},
            "work": {"mode": "Build"},
        }
    )
    shape = shape_of(spec)
    assert (shape.milvus_kind, dict(shape.parameters)) == (kind, parameters)
    assert (shape.dimensions, shape.shards, shape.metric, shape.replicas) == (8, 3, "IP", 2)
