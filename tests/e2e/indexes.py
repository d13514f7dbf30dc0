"""What two indexes hold, compared row by row: one that lived through changes, and one that was built from nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from cluster.commands import ClusterError
from cluster.network import NODE_ADDRESS
from demo.pipeline import Model
from e2e.rollouts import NAME, Library, pipeline
from rag_operator import names
from rag_runtime.milvus.connection import Target, connect
from rag_runtime.milvus.rows import Chunk
from rag_runtime.milvus.store import MilvusIndex

_MILVUS_PORT = 19530
ALIKE = 0.9999  # cosine: the same text may be embedded in a batch of another shape


@contextmanager
def fresh(handbook: Library, model: Model) -> Iterator[str]:
    """The collection of a pipeline of its own over the same bucket, in the same Milvus, built just now."""
    name = f"fresh-{model.path}"
    document = pipeline(handbook, model, {"canary": None, "strategy": "Immediate", "evaluation": None})
    document["metadata"]["name"] = name
    spec = document["spec"]
    store = spec["vectorStore"]["milvus"]
    store.pop("standalone")
    store["external"] = {"address": f"{names.milvus(NAME)}.{handbook.namespace.name}.svc:{_MILVUS_PORT}"}
    spec["embedder"]["local"].pop("autoscaling")
    spec["gateway"] |= {"replicas": 1}
    handbook.namespace.apply(document)
    try:
        handbook.until(f"{name} Ready", lambda: handbook.namespace.get("ragpipeline", name).get("status", {}).get("phase") == "Ready")
        index = handbook.namespace.get("ragpipeline", name)["status"]["stable"]["index"]
        yield handbook.namespace.get("ragindex", index)["spec"]["collection"]
    finally:
        handbook.namespace.kubectl("delete", "ragpipeline", name, "--wait=true", timeout=600)


@contextmanager
def milvus(handbook: Library) -> Iterator[MilvusClient]:
    """The pipeline's Milvus from this machine, by a node port that exists for as long."""
    service = f"{NAME}-milvus-outside"
    handbook.namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service},
            "spec": {
                "type": "NodePort",
                "selector": names.selector(NAME, names.KIND_MILVUS),
                "ports": [{"name": "grpc", "port": _MILVUS_PORT}],
            },
        }
    )
    port = handbook.namespace.get("service", service)["spec"]["ports"][0]["nodePort"]
    client = connect(Target(f"{NODE_ADDRESS}:{port}"), timeout=60)
    try:
        yield client
    finally:
        client.close()
        handbook.namespace.kubectl("delete", "service", service)


def equal_to_fresh_builds(handbook: Library, wanted: dict[str, Model]) -> None:
    """The indexes that are kept hold exactly what an index that is built now holds; `wanted` says the model of each role."""
    with milvus(handbook) as client:
        for role, model in wanted.items():
            index = handbook.index(role)["spec"]["collection"]
            with fresh(handbook, model) as built:
                left: list[str] = []

                def same(index: str = index, built: str = built, left: list[str] = left) -> bool:
                    left[:] = differences(client, index, built)
                    return not left

                try:
                    handbook.until(f"the {role} index equal to a fresh build", same, 300)
                except ClusterError:
                    pytest.fail(f"the {role} index differs from a fresh build: {left[:10]}")


def differences(client: MilvusClient, found: str, wanted: str) -> list[str]:
    """How the collection `found` differs from `wanted`, in words."""
    left, right = _rows(client, found), _rows(client, wanted)
    both = left.keys() & right.keys()
    problems = {
        "missing": [right[key] for key in right.keys() - left.keys()],
        "orphan": [left[key] for key in left.keys() - right.keys()],
        "not the same": [left[key] for key in both if not _same(left[key], right[key])],
    }
    return [f"{problem}: {chunk.document}#{chunk.ordinal}" for problem, chunks in problems.items() for chunk in chunks]


def _rows(client: MilvusClient, collection: str) -> dict[str, Chunk]:
    rows = [chunk for page in MilvusIndex(client, collection).scan_chunks(vectors=True) for chunk in page]
    found = {chunk.key: chunk for chunk in rows}
    assert len(found) == len(rows), f"{len(rows) - len(found)} keys twice in {collection}"
    return found


def _same(left: Chunk, right: Chunk) -> bool:
    return (left.text, left.attributes) == (right.text, right.attributes) and _cosine(left.vector, right.vector) >= ALIKE


def _cosine(left: Any, right: Any) -> float:
    return float(np.dot(left, right) / (np.linalg.norm(left) * np.linalg.norm(right)))
