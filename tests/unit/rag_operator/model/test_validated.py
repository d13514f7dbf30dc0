"""What only the operator can know: references that are missing, limits that are observed. Each answer names field and allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.validated import References, ValidatedPipeline, Violation, needed, parse, validate

SPEC = """
sources:
  - {name: docs, s3: {bucket: company-docs}}
  - {name: files, pvc: {claimName: files}}
  - {name: notes, configMap: {name: notes}}
documents:
  metadata: [{name: team, from: {pathPattern: "^([^/]+)/"}}]
embedder:
  local:
    model: {name: acme/embed, revision: "1.0", source: {pvc: {claimName: models}}}
    dimensions: 384
    documentPrefix: "passage for search: "
vectorStore: {milvus: {standalone: {storage: 10Gi}}}
generator:
  vllm: {model: {name: acme/llm, revision: "1.0", source: {pvc: {claimName: llm}}}}
  prompt: {templateConfigMapRef: {name: prompts, key: template}}
rollout:
  evaluation: {questionSet: {configMapRef: {name: questions, key: questions.jsonl}}}
"""
ALL_THERE = References(
    config_maps={"notes": {}, "prompts": {"template": "{question}"}, "questions": {"questions.jsonl": ""}},
    claims=frozenset({"files", "models", "llm"}),
    token_limit=256,
    milvus_operator=True,
    runtimes=frozenset({"0.1"}),
)


def spec(**edits: Any) -> RAGPipelineSpec:
    raw = yaml.safe_load(SPEC)
    raw.update(edits)
    parsed = parse(raw)
    assert isinstance(parsed, RAGPipelineSpec), parsed
    return parsed


def violations(found: ValidatedPipeline | list[Violation]) -> list[Violation]:
    assert isinstance(found, list), "it was accepted"
    return found


def changed(**fields: Any) -> References:
    return References(**{**ALL_THERE.__dict__, **fields})


def test_what_must_be_looked_up_is_named() -> None:
    assert needed(spec()).config_maps == {"notes", "prompts", "questions"}
    assert needed(spec()).claims == {"files", "models", "llm"}


def test_a_spec_whose_references_are_there_comes_with_their_texts() -> None:
    found = validate(spec(), ALL_THERE)
    assert found == ValidatedPipeline(spec(), "{question}")


def test_what_nobody_could_look_at_is_no_violation() -> None:
    assert isinstance(validate(spec(), References()), ValidatedPipeline)


CLUSTER = {"milvus": {"cluster": {}}}
CASES: list[tuple[str, References, dict[str, Any], str, str, str]] = [
    (
        "a ConfigMap of documents that is missing",
        changed(config_maps={k: v for k, v in (ALL_THERE.config_maps or {}).items() if k != "notes"}),
        {},
        "ReferenceNotFound",
        "spec.sources[2].configMap.name",
        "names no ConfigMap in the pipeline's namespace: create it",
    ),
    (
        "a ConfigMap without the key that is named",
        changed(config_maps={**(ALL_THERE.config_maps or {}), "questions": {"other": ""}}),
        {},
        "ReferenceNotFound",
        "spec.rollout.evaluation.questionSet.configMapRef.key",
        "is not a key of ConfigMap questions; it has other",
    ),
    (
        "a prompt template that is missing",
        changed(config_maps={k: v for k, v in (ALL_THERE.config_maps or {}).items() if k != "prompts"}),
        {},
        "ReferenceNotFound",
        "spec.generator.prompt.templateConfigMapRef.name",
        "names no ConfigMap",
    ),
    (
        "a volume of documents that is missing",
        changed(claims=frozenset({"models", "llm"})),
        {},
        "ReferenceNotFound",
        "spec.sources[1].pvc.claimName",
        "names no PersistentVolumeClaim in the pipeline's namespace",
    ),
    (
        "a volume of weights that is missing",
        changed(claims=frozenset({"files", "llm"})),
        {},
        "ReferenceNotFound",
        "spec.embedder.local.model.source.pvc.claimName",
        "names no PersistentVolumeClaim",
    ),
    (
        "a chunk longer than the model takes",
        changed(token_limit=240),
        {},
        "ChunkTooLong",
        "spec.documents.chunking.maxTokens",
        "takes 240 tokens, its prompt included: at most 237",
    ),
    (
        "a path pattern that is no regular expression",
        ALL_THERE,
        {"documents": {"metadata": [{"name": "team", "from": {"pathPattern": "^([a-)/"}}]}},
        "InvalidSpec",
        "spec.documents.metadata[0].from.pathPattern",
        "must be a regular expression",
    ),
    (
        "a path pattern whose parentheses are no group",
        ALL_THERE,
        {"documents": {"metadata": [{"name": "team", "from": {"pathPattern": r"^\(team\)/"}}]}},
        "InvalidSpec",
        "spec.documents.metadata[0].from.pathPattern",
        "must have exactly one group, which is the value; it has 0",
    ),
    (
        "a glob that cannot be one",
        ALL_THERE,
        {"sources": [{"name": "docs", "s3": {"bucket": "company-docs"}, "include": ["*.md"], "exclude": ["a.md", "[z-a]*.md"]}]},
        "InvalidSpec",
        "spec.sources[0].exclude[1]",
        "must be a glob: bad character range z-a",
    ),
    (
        "a Milvus cluster where no operator for it is installed",
        changed(milvus_operator=False),
        {"vectorStore": CLUSTER},
        "Unsupported",
        "spec.vectorStore.milvus.cluster",
        "install it, or use standalone or external",
    ),
    (
        "a runtime that this operator does not know",
        ALL_THERE,
        {"runtime": {"version": "9.9"}},
        "Unsupported",
        "spec.runtime.version",
        "it knows 0.1",
    ),
]


@pytest.mark.parametrize(("references", "edits", "reason", "path", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_only_the_operator_can_know_is_refused(
    references: References, edits: dict[str, Any], reason: str, path: str, says: str
) -> None:
    (found,) = violations(validate(spec(**edits), references))
    assert (found.reason, found.path) == (reason, path)
    assert says in found.message


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(violations(validate(spec(), changed(config_maps={}, claims=frozenset(), token_limit=64)))) == 7


def test_a_raw_spec_that_is_wrong_is_told_by_path_value_and_what_is_allowed() -> None:
    raw = yaml.safe_load(SPEC)
    raw["retrieval"] = {"topK": 0}
    raw["rollout"]["strategy"] = "Rolling"
    found = {violation.path: violation for violation in violations(parse(raw))}  # type: ignore[arg-type]
    assert found["spec.retrieval.topK"].value == "0"
    assert "greater than or equal to 1" in found["spec.retrieval.topK"].allowed
    assert found["spec.rollout.strategy"].allowed == "'Canary', 'BlueGreen' or 'Immediate'"
    assert str(found["spec.rollout.strategy"]).startswith("spec.rollout.strategy: 'Rolling' ")


def test_a_violation_gives_nothing_away() -> None:
    raw = yaml.safe_load(SPEC)
    raw["sources"][0]["s3"]["endpoint"] = "https://user:hunter2@s3.example"
    raw["gateway"] = {"pod": {"env": [{"name": "LD_PRELOAD", "value": "hunter2"}]}}
    assert "hunter2" not in " ".join(map(str, violations(parse(raw))))  # type: ignore[arg-type]


@pytest.mark.parametrize("example", sorted((Path(__file__).parents[4] / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_parses(example: Path) -> None:
    assert isinstance(parse(yaml.safe_load(example.read_text())["spec"]), RAGPipelineSpec)


@pytest.mark.parametrize("cidr", ["fd00::/8", "::/0", "10.0.0.0/8"])
def test_clients_may_come_from_any_range_of_addresses(cidr: str) -> None:
    assert spec(gateway={"clients": [{"cidr": cidr}]}).gateway.clients
