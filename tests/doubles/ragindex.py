"""RAGIndex manifests for tests of the indexer's commands."""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any

DIGEST = "0" * 64
_numbers = itertools.count()


def manifest(
    milvus: str, embedder: str, *, name: str = "", namespace: str = "search", pipeline: str = "handbook", **spec: Any
) -> dict[str, Any]:
    """A RAGIndex over the directory source `docs`, made by an embedder of eight dimensions; keyword arguments replace members."""
    chosen = name or f"handbook-index-{next(_numbers)}"
    content = {
        "model": "double",
        "revision": "1",
        "dimensions": 8,
        "chunking": {"strategy": "Recursive", "maxTokens": 24, "overlapTokens": 4},
        "embedTitle": False,
    }
    layout = {"shards": 1, "index": {"flat": {}, "metric": "COSINE"}}
    members = {
        "pipelineRef": {"name": pipeline, "uid": "1"},
        "identity": {"digest": DIGEST, "contentDigest": DIGEST, "content": content, "layout": layout},
        "collection": chosen.replace("-", "_"),
        "sources": [{"name": "docs", "pvc": {"claimName": "docs"}, "syncInterval": "10s"}],
        "embedder": {"url": embedder, "model": "double", "dimensions": 8},
        "milvus": {"address": milvus},
        "work": {"mode": "Build"},
        **spec,
    }
    metadata = {"name": chosen, "namespace": namespace, "labels": {"ragops.dev/pipeline": pipeline}}
    return deepcopy({"apiVersion": "ragops.dev/v1alpha1", "kind": "RAGIndex", "metadata": metadata, "spec": members})


def with_layout(index: dict[str, Any], layout: dict[str, Any], dimensions: int | None = None) -> dict[str, Any]:
    """The same manifest with another layout, and other dimensions if asked for."""
    changed = deepcopy(index)
    changed["spec"]["identity"]["layout"] = layout
    if dimensions is not None:
        changed["spec"]["identity"]["content"]["dimensions"] = dimensions
        changed["spec"]["embedder"]["dimensions"] = dimensions
    return changed
