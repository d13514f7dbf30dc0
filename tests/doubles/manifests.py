"""Pipelines for tests of builders: small YAML through the real parser, and what is built from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from rag_operator.api.v1alpha1.index_status import Work
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.desired import images
from rag_operator.desired.children import Wanted, children
from rag_operator.desired.context import IndexIntent, Manifest, Owner, Surroundings
from rag_operator.model.plan import Keep
from rag_operator.model.revision import Revision
from rag_operator.rollout.identity import declared_index, resolve

EXAMPLES = Path(__file__).parents[2] / "examples"
TEMPLATES = {
    "embedder": "ragops.dev/embedder:{version}",
    "embedder-gpu": "ragops.dev/embedder-gpu:{version}",
    "gateway": "ragops.dev/gateway:{version}",
    "indexer": "ragops.dev/indexer:{version}",
    "milvus": "milvusdb/milvus:v2.6.4",
    "generator": "vllm/vllm-openai:v0.11.0",
}
OWNER = Owner("handbook", "search", "6b2f0d4e-0000-4000-8000-000000000001")
BASE = """
sources: [{name: docs, configMap: {name: documents}}]
embedder:
  local:
    model: {name: minilm, revision: "1", source: {image: {reference: "ragops.dev/models:0.1", path: minilm}}}
    dimensions: 384
vectorStore: {milvus: {standalone: {storage: 1Gi}}}
"""
VLLM = """
vllm:
  model: {name: tiny, revision: "1", source: {image: {reference: "ragops.dev/tiny:0.1"}}}
  maxModelLen: 512
sampling: {maxTokens: 64}
"""
HUB = {"name": "org/model", "revision": "c9745ed1d9f207416be6d2e6f8de32d1f16199bf", "source": {"huggingFace": {}}}


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it; a member that is `None` is taken away."""
    found = {**base}
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
            found[key] = merged(found[key], value)
        else:
            found[key] = value
    return found


def spec_of(**change: Any) -> RAGPipelineSpec:
    """The smallest spec, changed."""
    return RAGPipelineSpec.model_validate(merged(yaml.safe_load(BASE), change))


def vllm(**change: Any) -> dict[str, Any]:
    """A small generator, changed."""
    found: dict[str, Any] = yaml.safe_load(VLLM)
    return merged(found, {"vllm": change})


def revision_of(spec: RAGPipelineSpec | None = None, *, pipeline: str = OWNER.name, **settings: Any) -> Revision:
    """The revision that a spec asks for, its images chosen."""
    spec = spec or spec_of()
    defaults = {"collection": "rag_0123456789_abcdef12", "images": images.chosen(TEMPLATES, spec)}
    return resolve(pipeline, spec, **{**defaults, **settings})


def wanted_of(
    *revisions: Revision, keep: Iterable[Keep] = (), weights: Mapping[str, int] | None = None, mode: str = "Sync", **settings: Any
) -> Wanted:
    """Revisions that all stand, the first one stable, the last one the newest."""
    return Wanted(
        newest=settings.pop("newest", revisions[-1]),
        keep=tuple(keep) or tuple(Keep(one.name, "candidate" if place else "stable") for place, one in enumerate(revisions)),
        revisions={one.name: one for one in revisions},
        weights=weights if weights is not None else {revisions[0].name: 100},
        indexes=settings.pop("indexes", None) or {one.index.name: intent(one, mode) for one in revisions},
        **settings,
    )


def intent(revision: Revision, mode: str = "Sync", attempt: int = 1, **settings: Any) -> IndexIntent:
    """An index that is to do something."""
    work = Work.model_validate({"mode": mode, "attempt": attempt})
    return IndexIntent(declared_index(revision.spec), work, **settings)


def built(wanted: Wanted, surroundings: Surroundings | None = None, owner: Owner = OWNER) -> dict[tuple[str, str], Manifest]:
    """Every manifest by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in children(owner, wanted, surroundings or Surroundings(cluster="c-1"))}


def container_of(manifest: Manifest) -> Manifest:
    """The main container of a workload."""
    found: Manifest = manifest["spec"]["template"]["spec"]["containers"][0]
    return found


def environment_of(manifest: Manifest) -> dict[str, Any]:
    """Its environment: literal values, or where they come from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container_of(manifest)["env"]}


def examples() -> list[tuple[str, str, RAGPipelineSpec]]:
    """File, pipeline and spec of every example."""
    documents = [(path.name, document) for path in sorted(EXAMPLES.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]
    return [
        (file, document["metadata"]["name"], RAGPipelineSpec.model_validate(document["spec"]))
        for file, document in documents
        if document and document["kind"] == "RAGPipeline"
    ]
