"""The definitions themselves: structural, bounded, described, small enough, accepted without complaint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.client import ApiClient
from api.manifests import base, edited
from rag_operator import names
from rag_operator.api.crd import index_crd, pipeline_crd, to_yaml
from rag_operator.api.schema import INT_OR_STRING, descend

BUDGET = 200_000  # client-side apply ends at 262,144 bytes

DEFINITIONS = {"RAGPipeline": pipeline_crd(), "RAGIndex": index_crd()}
each_definition = pytest.mark.parametrize("crd", DEFINITIONS.values(), ids=DEFINITIONS)


def schema(crd: dict[str, Any]) -> dict[str, Any]:
    return dict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def unbounded(found: dict[str, Any]) -> str:
    """Return what keeps a schema from being bounded, or nothing."""
    kind = found.get("type")
    if kind == "string" and "enum" not in found and "maxLength" not in found:
        return "maxLength"
    if kind == "array" and "maxItems" not in found:
        return "maxItems"
    if kind == "integer" and "enum" not in found and not {"minimum", "maximum"} <= found.keys():
        return "minimum and maximum"
    if kind == "object" and "additionalProperties" in found and "maxProperties" not in found:
        return "maxProperties"
    return ""


@each_definition
def test_a_definition_is_within_the_size_that_client_side_apply_can_store(crd: dict[str, Any]) -> None:
    assert len(to_yaml(crd).encode()) < BUDGET
    assert len(json.dumps(crd).encode()) < BUDGET


@each_definition
def test_every_string_list_number_and_map_has_bounds(crd: dict[str, Any]) -> None:
    parts = schema(crd)["properties"]
    found = [(f"{name}{path}", unbounded(below)) for name in ("spec", "status") for path, below in descend(parts[name])]
    assert [pair for pair in found if pair[1]] == []


@each_definition
def test_nothing_keeps_unknown_fields_and_every_field_has_one_type(crd: dict[str, Any]) -> None:
    for path, below in descend(schema(crd)):
        assert "x-kubernetes-preserve-unknown-fields" not in below, path
        assert below.get("type") or below.get(INT_OR_STRING), path
        assert not {"$ref", "oneOf", "allOf", "not", "title"} & below.keys(), path


@each_definition
def test_every_field_is_described_where_it_is_first_met(crd: dict[str, Any]) -> None:
    bare = [path for path, below in descend(schema(crd)) if "description" not in below and not path.endswith(("[]", "{}"))]
    assert [path for path in bare if ".pod." not in path and path not in ("", ".metadata")] == []
    described = [path for path, below in descend(schema(crd)) if path.endswith(".local.pod.nodeSelector") and "description" in below]
    assert len(described) == (1 if crd is DEFINITIONS["RAGPipeline"] else 0)


@each_definition
def test_every_rule_says_what_is_wrong(crd: dict[str, Any]) -> None:
    rules = [(path, rule) for path, below in descend(schema(crd)) for rule in below.get("x-kubernetes-validations", ())]
    assert rules
    assert [path for path, rule in rules if len(rule.get("message", "")) < 10] == []


@each_definition
def test_status_has_no_defaults_because_an_absent_field_means_that_nobody_said_it(crd: dict[str, Any]) -> None:
    status = schema(crd)["properties"]["status"]
    assert [path for path, below in descend(status) if "default" in below] == []


@pytest.mark.parametrize("plural", [names.PIPELINES, names.INDEXES])
def test_the_api_server_finds_no_fault_with_the_schema_and_its_rules_cost(kube: ApiClient, plural: str) -> None:
    conditions = {item["type"]: item for item in kube.definition(plural)["status"]["conditions"]}
    assert "NonStructuralSchema" not in conditions
    assert conditions["Established"]["status"] == "True"
    assert conditions["NamesAccepted"]["status"] == "True"


def test_people_can_use_short_names_and_categories() -> None:
    found = {name: crd["spec"]["names"] for name, crd in DEFINITIONS.items()}
    assert found["RAGPipeline"]["shortNames"] == ["ragp"]
    assert found["RAGIndex"]["shortNames"] == ["ragi"]
    assert "all" in found["RAGPipeline"]["categories"]


def test_the_columns_tell_the_story() -> None:
    columns = [
        item["name"] for item in DEFINITIONS["RAGPipeline"]["spec"]["versions"][0]["additionalPrinterColumns"] if "priority" not in item
    ]
    assert columns == ["Phase", "Revision", "Traffic", "Step", "Docs", "Reason", "Age"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("ragpipeline.spec.sources.syncInterval", "How often the source is listed."),
        ("ragp.spec.generator.vllm.extraArgs", "Further arguments of `vllm serve`"),
        ("ragi.status.sync.listing", "last fully applied"),
    ],
)
def test_kubectl_explains_a_field_in_our_words(kube: ApiClient, path: str, says: str) -> None:
    assert kube.kubectl is not None
    assert says in " ".join(kube.kubectl("explain", path).split())


def test_kubectl_lists_pipelines_with_their_columns(kube: ApiClient) -> None:
    assert kube.kubectl is not None
    manifest = edited(base(), {"metadata.name": "listed"})
    stored = kube.create(manifest, dry_run=False).body
    status = {"phase": "RollingOut", "traffic": "95/5", "step": "1/3", "documents": 1400, "stable": {"revision": "5c2e9f0a11"}}
    assert kube.update({**stored, "status": status}, dry_run=False, subresource="/status").accepted
    header, row = kube.kubectl("get", "ragp", "listed").splitlines()
    kube.delete(manifest)
    assert header.split() == ["NAME", "PHASE", "REVISION", "TRAFFIC", "STEP", "DOCS", "REASON", "AGE"]
    assert row.split()[:6] == ["listed", "RollingOut", "5c2e9f0a11", "95/5", "1/3", "1400"]
