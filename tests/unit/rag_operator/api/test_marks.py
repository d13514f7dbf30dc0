"""Every field of the spec says what a change of it means, in words that exist."""

from __future__ import annotations

from typing import Annotated

import pytest

from rag_operator.api import marks
from rag_operator.api.base import Items, Model
from rag_operator.api.crd import spec_schema
from rag_operator.api.fields import leaves, values
from rag_operator.api.rules import VALIDATIONS
from rag_operator.api.schema import descend
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec


def meaning(path: str) -> set[str]:
    found = {leaf.path: {mark.name for mark in leaf.marks} for leaf in leaves(RAGPipelineSpec)}
    return found[path]


def test_every_field_is_marked() -> None:
    assert [leaf.path for leaf in leaves(RAGPipelineSpec) if not leaf.marks] == []


def test_every_mark_is_one_that_is_explained() -> None:
    assert {mark.name for leaf in leaves(RAGPipelineSpec) for mark in leaf.marks} == {mark.name for mark in marks.ALL}


def test_a_field_without_a_mark_is_found() -> None:
    class Part(Model):
        plain: str
        """A field that somebody forgot."""
        marked: Annotated[str, marks.DATA] | None = None
        """A field with a mark."""

    class Whole(Model):
        parts: Items[Part]
        """A list without a mark of its own."""

    assert [leaf.path for leaf in leaves(Whole) if not leaf.marks] == ["parts[].plain"]


def test_a_mark_holds_for_everything_below_until_another_is_nearer() -> None:
    class Part(Model):
        secret: Annotated[str, marks.IN_PLACE]
        """Nearer."""
        name: str
        """Takes the mark above."""

    class Whole(Model):
        part: Annotated[Part, marks.EMBEDDER] | None = None
        """Marked."""

    found = {value.path: value.marks for value in values(Whole.model_validate({"part": {"secret": "s", "name": "n"}}))}
    assert found == {"part.secret": (marks.IN_PLACE,), "part.name": (marks.EMBEDDER,)}


def transition_rules(path: str) -> list[str]:
    """Return the rules about the old value at a field or above it."""
    found = {f".{'.'.join(parts)}": schema for parts, schema in ((tuple(p.lstrip(".").split(".")), s) for p, s in descend(spec_schema()))}
    parts = path.split(".")
    above = [found.get("." + ".".join(parts[:depth]), {}) for depth in range(len(parts) + 1)]
    return [rule["rule"] for schema in above for rule in schema.get(VALIDATIONS, ()) if "oldSelf" in rule["rule"]]


@pytest.mark.parametrize("path", [leaf.path for leaf in leaves(RAGPipelineSpec) if marks.FIXED in leaf.marks])
def test_what_is_called_fixed_is_held_by_a_rule(path: str) -> None:
    name = path.rsplit(".", 1)[-1]
    rules = transition_rules(path)
    assert any(name in rule or part in rule for rule in rules for part in ("etcd", "objectStorage")), rules


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("embedder.local.model.name", {"content", "embedder"}),
        ("embedder.local.dimensions", {"content", "embedder"}),
        ("embedder.local.documentPrefix", {"content"}),
        ("embedder.local.queryPrefix", {"revision"}),
        ("embedder.local.precision", {"embedder"}),
        ("embedder.local.model.source.huggingFace.tokenSecretRef.name", {"inPlace"}),
        ("embedder.local.pod.resources.limits", {"inPlace"}),
        ("embedder.external.url", {"embedder"}),
        ("documents.chunking.maxTokens", {"content"}),
        ("documents.embedTitle", {"content"}),
        ("documents.metadata[].name", {"data"}),
        ("sources[].s3.bucket", {"data"}),
        ("sources[].s3.prefix", {"fixed"}),
        ("vectorStore.milvus.shards", {"layout"}),
        ("vectorStore.milvus.index.hnsw.M", {"layout"}),
        ("vectorStore.milvus.index.metric", {"layout"}),
        ("vectorStore.milvus.replicas", {"inPlace"}),
        ("vectorStore.milvus.search.ef", {"revision"}),
        ("vectorStore.milvus.external.address", {"fixed"}),
        ("generator.vllm.model.name", {"generator"}),
        ("generator.vllm.replicas", {"inPlace"}),
        ("generator.prompt.system", {"revision"}),
        ("generator.sampling.temperature", {"revision"}),
        ("retrieval.topK", {"revision"}),
        ("gateway.replicas", {"inPlace"}),
        ("runtime.version", {"inPlace"}),
        ("rollout.strategy", {"policy"}),
        ("suspend", {"policy"}),
    ],
)
def test_a_change_means_what_the_design_says(path: str, wanted: set[str]) -> None:
    assert meaning(path) == wanted
