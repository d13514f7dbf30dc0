"""Names follow from what makes a component what it is, and never change by an upgrade of the operator."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel

from rag_operator.api import marks
from rag_operator.api.base import Model
from rag_operator.api.v1alpha1.pipeline import MAX_NAME_LENGTH
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.rollout.identity import (
    Identity,
    canonical,
    content_identity,
    declared_index,
    embedder_identity,
    generator_identity,
    index_identity,
    layout_identity,
    marked_inputs,
    resolve,
    revision_identity,
)

GOLDEN = Path(__file__).parent / "golden" / "identities.jsonl"
RECORDED: list[dict[str, Any]] = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]

SPEC = """
sources: [{name: docs, s3: {bucket: company-docs}}]
embedder:
  local:
    model: {name: acme/embed, revision: "1.0", source: {image: {reference: "registry.example/models:1.0"}}}
    dimensions: 384
vectorStore: {milvus: {standalone: {storage: 10Gi}}}
generator:
  vllm: {model: {name: acme/llm, revision: "1.0", source: {image: {reference: "registry.example/llm:1.0"}}}}
"""
EXTERNAL = {"url": "https://models.example/v1", "model": "acme/embed", "revision": "1.0", "dimensions": 384}


def digests(spec: RAGPipelineSpec, template: str | None = None, reindex: str = "") -> dict[str, str | None]:
    generator = generator_identity(spec)
    return {
        "embedder": embedder_identity(spec).digest,
        "content": content_identity(spec, reindex).digest,
        "layout": layout_identity(spec).digest,
        "index": index_identity(spec, reindex).digest,
        "generator": generator.digest if generator is not None else None,
        "revision": revision_identity(spec, template, reindex).digest,
    }


def spec(edits: dict[str, Any] | None = None) -> RAGPipelineSpec:
    raw = yaml.safe_load(SPEC)
    for path, value in (edits or {}).items():
        *above, last = path.split(".")
        target = raw
        for key in above:
            target = target.setdefault(key, {})
        if value is None:
            target.pop(last, None)
        else:
            target[last] = copy.deepcopy(value)
    return RAGPipelineSpec.model_validate(raw)


@pytest.mark.parametrize("record", RECORDED, ids=lambda record: record["case"])
def test_a_recorded_spec_has_the_digests_it_always_had(record: dict[str, Any]) -> None:
    parsed = RAGPipelineSpec.model_validate(record["spec"])
    assert digests(parsed, record["template"], record["reindex"]) == record["digests"]


def test_the_record_is_only_ever_appended_to() -> None:
    committed = subprocess.run(["git", "show", f"HEAD:./{GOLDEN.name}"], cwd=GOLDEN.parent, capture_output=True, check=False)
    assert GOLDEN.read_bytes().startswith(committed.stdout if committed.returncode == 0 else b"")


def test_the_record_covers_every_kind_of_identity_field() -> None:
    recorded = [RAGPipelineSpec.model_validate(record["spec"]) for record in RECORDED]
    for mark in (marks.EMBEDDER, marks.CONTENT, marks.LAYOUT, marks.GENERATOR, marks.REVISION):
        assert {path for found in recorded for path in marked_inputs(found, mark)}, mark.name


CHANGES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("another embedding model", {"embedder.local.model.name": "acme/other"}, {"embedder", "content", "index", "revision"}),
    ("another revision of the model", {"embedder.local.model.revision": "1.1"}, {"embedder", "content", "index", "revision"}),
    ("fewer dimensions", {"embedder.local.dimensions": 32}, {"embedder", "content", "index", "revision"}),
    ("weights from elsewhere", {"embedder.local.model.source": {"pvc": {"claimName": "m"}}}, {"embedder", "revision"}),
    ("8-bit weights", {"embedder.local.precision": "Int8"}, {"embedder", "revision"}),
    ("another document prompt", {"embedder.local.documentPrefix": "passage: "}, {"content", "index", "revision"}),
    ("no document prompt, said so", {"embedder.local.documentPrefix": ""}, {"content", "index", "revision"}),
    ("another query prompt", {"embedder.local.queryPrefix": "query: "}, {"revision"}),
    ("longer chunks", {"documents.chunking": {"maxTokens": 300}}, {"content", "index", "revision"}),
    ("titles embedded", {"documents.embedTitle": True}, {"content", "index", "revision"}),
    ("more shards", {"vectorStore.milvus.shards": 4}, {"layout", "index", "revision"}),
    ("another metric", {"vectorStore.milvus.index": {"hnsw": {}, "metric": "IP"}}, {"layout", "index", "revision"}),
    ("another kind of index", {"vectorStore.milvus.index": {"flat": {}}}, {"layout", "index", "revision"}),
    ("a denser graph", {"vectorStore.milvus.index": {"hnsw": {"M": 32}}}, {"layout", "index", "revision"}),
    ("a more thorough search", {"vectorStore.milvus.search": {"ef": 256}}, {"revision"}),
    ("more passages", {"retrieval.topK": 12}, {"revision"}),
    ("another language model", {"generator.vllm.model.name": "acme/other"}, {"generator", "revision"}),
    ("another image of vLLM", {"generator.vllm.image": "vllm/vllm-openai:v0.9.1"}, {"generator", "revision"}),
    ("another argument of vLLM", {"generator.vllm.extraArgs": ["--seed=1"]}, {"generator", "revision"}),
    ("another system prompt", {"generator.prompt.system": "Be brief."}, {"revision"}),
    ("another temperature", {"generator.sampling.temperature": 0.5}, {"revision"}),
    ("no generator", {"generator": None}, {"generator", "revision"}),
    ("more replicas", {"embedder.local.replicas": 3, "generator.vllm.replicas": 2, "gateway.replicas": 4}, set()),
    ("autoscaling", {"embedder.local.autoscaling": {"maxReplicas": 4, "targetQueueLength": 64}}, set()),
    ("more memory", {"embedder.local.pod.resources": {"limits": {"memory": "4Gi"}}}, set()),
    ("other batches", {"embedder.local.batching": {"maxWait": "10ms"}}, set()),
    ("another source", {"sources": [{"name": "other", "configMap": {"name": "notes"}}]}, set()),
    ("another metadata field", {"documents.metadata": [{"name": "team", "from": {"frontMatter": "team"}}]}, set()),
    ("more copies in memory", {"vectorStore.milvus": {"cluster": {}, "replicas": 2}}, set()),
    ("a larger volume", {"vectorStore.milvus.standalone.storage": "20Gi"}, set()),
    ("another strategy", {"rollout": {"strategy": "Immediate"}}, set()),
    ("another runtime", {"runtime.version": "0.2"}, set()),
    ("suspended", {"suspend": True}, set()),
]


@pytest.mark.parametrize(("edits", "wanted"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_change_renames_what_it_is_a_change_of_and_nothing_else(edits: dict[str, Any], wanted: set[str]) -> None:
    before, after = digests(spec()), digests(spec(edits))
    assert {name for name in before if before[name] != after[name]} == wanted


def test_the_text_of_the_prompt_template_counts_and_the_name_of_its_config_map_does_not() -> None:
    one = spec({"generator.prompt.templateConfigMapRef": {"name": "prompts", "key": "a"}})
    other = spec({"generator.prompt.templateConfigMapRef": {"name": "texts", "key": "b"}})
    assert revision_identity(one, "text") == revision_identity(other, "text")
    assert revision_identity(one, "text") != revision_identity(one, "other text")
    assert revision_identity(one, "text") != revision_identity(spec())


def test_the_verb_reindex_makes_another_index_of_the_same_everything_else() -> None:
    before, after = digests(spec()), digests(spec(), reindex="2026-02-01")
    assert {name for name in before if before[name] != after[name]} == {"content", "index", "revision"}


def test_what_the_api_server_fills_in_changes_no_name() -> None:
    assert digests(RAGPipelineSpec.model_validate(spec().to_wire())) == digests(spec())


def test_a_model_that_moves_out_of_the_cluster_keeps_its_index() -> None:
    inside = spec({"embedder.local.documentPrefix": ""})
    outside = spec({"embedder.local": None, "embedder.external": EXTERNAL})
    assert index_identity(outside) == index_identity(inside)
    assert embedder_identity(outside) != embedder_identity(inside)


def test_an_endpoint_has_no_prompt_of_its_own_but_a_model_may_have() -> None:
    endpoint = {"embedder.local": None, "embedder.external": EXTERNAL}
    assert content_identity(spec(endpoint)) == content_identity(spec({**endpoint, "embedder.external.documentPrefix": ""}))
    assert content_identity(spec()) != content_identity(spec({"embedder.local.documentPrefix": ""}))


def test_a_field_that_came_later_counts_only_when_it_says_something_new() -> None:
    class Old(Model):
        size: Annotated[int, marks.LAYOUT] = 1
        """From the first version on."""

    class New(Old):
        colour: Annotated[str, marks.Mark("layout", "as before", since="0.2")] = "grey"
        """Came later."""

    def inputs(item: BaseModel) -> dict[str, Any]:
        return marked_inputs(item, marks.LAYOUT)

    assert inputs(New.model_validate({})) == inputs(Old.model_validate({})) == {"size": 1}
    assert inputs(New.model_validate({"colour": "red"})) == {"size": 1, "colour": "red"}


def test_the_canonical_text_does_not_depend_on_order_or_on_how_a_number_is_written() -> None:
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}' == canonical({"a": "é", "b": 1})
    hot, cold = {"generator.sampling.temperature": 1}, {"generator.sampling.temperature": 1.0}
    assert revision_identity(spec(hot)) == revision_identity(spec(cold))
    with pytest.raises(ValueError, match="Out of range float"):
        canonical({"a": float("nan")})


def test_identity_is_equality_of_inputs() -> None:
    assert Identity.of({"a": 1}) == Identity.of({"a": 1})
    assert Identity.of({"a": 1}) != Identity.of({"a": "1"})


def test_every_name_of_the_longest_pipeline_fits_a_label() -> None:
    revision = resolve("a" * MAX_NAME_LENGTH, spec())
    for component in revision.components():
        assert re.fullmatch(rf"a+-{component.kind}-[0-9a-f]{{10}}", component.name)
        assert len(component.name) <= 63
    assert len(f"{revision.index.name}-build-99") <= 63
    assert re.fullmatch(r"[0-9a-f]{10}", revision.name)


def test_two_revisions_share_what_is_equal() -> None:
    one, other = resolve("p", spec()), resolve("p", spec({"generator.vllm.model.name": "acme/other"}))
    assert one.embedder.same_as(other.embedder)
    assert one.index.same_as(other.index)
    assert one.generator is not None
    assert other.generator is not None
    assert not one.generator.same_as(other.generator)
    assert resolve("p", spec({"generator": None})).generator is None


@pytest.mark.parametrize("record", RECORDED, ids=lambda record: record["case"])
def test_a_rag_index_spells_out_every_value_of_its_identity(record: dict[str, Any]) -> None:
    parsed = RAGPipelineSpec.model_validate(record["spec"])
    declared = declared_index(parsed, record["reindex"])
    assert (declared.digest, declared.content_digest) == (record["digests"]["index"], record["digests"]["content"])
    told = list(_scalars(declared.model_dump(mode="json", by_alias=True, exclude={"digest", "content_digest"})))
    for path, value in index_identity(parsed, record["reindex"]).inputs.items():
        assert value in told or value == {}, path


def _scalars(value: Any) -> Any:
    if isinstance(value, dict):
        for below in value.values():
            yield from _scalars(below)
    else:
        yield value
