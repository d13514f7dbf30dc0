"""From a RAGIndex to what Milvus is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from rag_runtime.contracts.index import Index, IndexSpec, Ivf, VectorIndexSpec
from rag_runtime.milvus.schema import IndexKind, Owner, Shape


def shape_of(spec: IndexSpec) -> Shape:
    """Dimensions, shards, metric and index."""
    kind, parameters = _index(spec.identity.layout.index)
    return Shape(
        dimensions=spec.identity.content.dimensions,
        shards=spec.identity.layout.shards,
        metric=spec.identity.layout.index.metric,
        kind=kind,
        parameters=parameters,
        replicas=spec.milvus.replicas,
    )


def owner_of(index: Index, cluster_uid: str) -> Owner:
    """Whose the collections are."""
    return Owner(cluster_uid, index.namespace, index.name)


def _index(spec: VectorIndexSpec) -> tuple[IndexKind, Mapping[str, int]]:
    if spec.hnsw is not None:
        return "hnsw", {"M": spec.hnsw.m, "efConstruction": spec.hnsw.ef_construction}
    if spec.ivf_flat is not None:
        return "ivfFlat", _clusters(spec.ivf_flat)
    if spec.ivf_sq8 is not None:
        return "ivfSq8", _clusters(spec.ivf_sq8)
    if spec.ivf_pq is not None:
        return "ivfPq", _clusters(spec.ivf_pq)
    return "flat", {}


def _clusters(spec: Ivf) -> dict[str, int]:
    optional = {"m": spec.m, "nbits": spec.nbits}
    return {"nlist": spec.nlist, **{name: value for name, value in optional.items() if value is not None}}
