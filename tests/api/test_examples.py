"""Every example is accepted by the API server and by the parser, and comes back as it was sent, with defaults."""

from __future__ import annotations

from typing import Any

import pytest

from api.client import ApiClient
from api.manifests import ROOT, example
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.validated import parse

EXAMPLES = sorted(file.name for file in (ROOT / "examples").glob("*.yaml"))
WANTED = {
    "minimal.yaml",
    "production.yaml",
    "retrieval-only.yaml",
    "external.yaml",
    "blue-green.yaml",
    "several-sources.yaml",
}


def lost(sent: Any, stored: Any, path: str = "") -> list[str]:
    """Return the paths at which something that was sent is not stored as it was."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        missing = [f"{path}.{key}" for key in sent if key not in stored]
        return missing + [found for key in sent if key in stored for found in lost(sent[key], stored[key], f"{path}.{key}")]
    if isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        return [found for index, pair in enumerate(zip(sent, stored, strict=True)) for found in lost(*pair, f"{path}[{index}]")]
    return [] if sent == stored else [path]


def test_the_examples_that_people_look_for_are_there() -> None:
    assert set(EXAMPLES) >= WANTED


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_accepted_and_nothing_of_it_is_lost(kube: ApiClient, name: str) -> None:
    manifest = example(name)
    answer = kube.create(manifest)
    assert answer.accepted, answer.message
    assert lost(manifest, answer.body) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_parser_reads_what_is_stored_and_writes_it_back_the_same(kube: ApiClient, name: str) -> None:
    stored = kube.create(example(name)).body["spec"]
    parsed = parse(stored)
    assert isinstance(parsed, RAGPipelineSpec), parsed
    again = kube.create({**example(name), "spec": parsed.to_wire()})
    assert again.accepted, again.message
    assert RAGPipelineSpec.model_validate(again.body["spec"]) == parsed


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_api_server_and_the_parser_fill_in_the_same_defaults(kube: ApiClient, name: str) -> None:
    manifest = example(name)
    assert RAGPipelineSpec.model_validate(manifest["spec"]) == RAGPipelineSpec.model_validate(kube.create(manifest).body["spec"])
