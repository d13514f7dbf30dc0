"""A rule that is added later must not hold old objects hostage: their status and finalizers can still be written.

The "old" definition is today's without any rule and without upper bounds. Objects that violate today's are stored under it, then
today's definition replaces it, as an upgrade of the operator does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from api.client import ApiClient
from api.manifests import base, edited
from cluster.api_only import ApiServer
from polling import until
from rag_operator.api.crd import pipeline_crd
from rag_operator.api.rules import VALIDATIONS
from rag_operator.api.schema import descend

VIOLATIONS: dict[str, dict[str, Any]] = {
    "a name that is too long today": {"metadata.name": "a" * 50},
    "a rule between two fields": {"metadata.name": "rule", "spec.documents.chunking": {"maxTokens": 64, "overlapTokens": 64}},
    "a rule of one field": {"metadata.name": "image", "spec.generator.vllm.image": "vllm/vllm-openai:latest"},
    "a rule over the whole spec": {"metadata.name": "whole", "spec.vectorStore.milvus.index": {"ivfPq": {"m": 7}}},
    "a bound that was lowered": {"metadata.name": "bound", "spec.vectorStore.milvus.shards": 64},
    "a union that had no rule": {"metadata.name": "union", "spec.sources[0].pvc": {"claimName": "docs"}},
}
_BOUNDS = ("maximum", "maxItems", "pattern", VALIDATIONS)


def old_definition() -> dict[str, Any]:
    crd = copy.deepcopy(pipeline_crd())
    for _, below in descend(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
        for bound in _BOUNDS:
            below.pop(bound, None)
    return crd


@pytest.fixture(scope="module")
def upgraded() -> Iterator[ApiClient]:
    """An API server whose objects are older than its definition."""
    with ApiServer(audit=None) as server, ApiClient(server.kubeconfig, server.directory) as client:
        client.install(old_definition())
        for edits in VIOLATIONS.values():
            answer = client.create(edited(base(), {**edits, "metadata.finalizers": ["ragops.dev/external-data"]}), dry_run=False)
            assert answer.accepted, answer.message
        client.install(pipeline_crd())
        _wait_until_refused(client)
        yield client


def _wait_until_refused(client: ApiClient) -> None:
    # A new schema is served a moment after it is stored; there is no condition that says so.
    wrong = edited(base(), {"metadata.name": "probe", "spec.vectorStore.milvus.shards": 64})
    until(lambda: not client.create(wrong).accepted, 30, "the new definition to be served", every=0.05)


each_violation = pytest.mark.parametrize("edits", VIOLATIONS.values(), ids=VIOLATIONS)


@each_violation
def test_the_object_could_not_be_made_today(upgraded: ApiClient, edits: dict[str, Any]) -> None:
    longer = f"{edits['metadata.name']}-new"
    assert not upgraded.create(edited(base(), {**edits, "metadata.name": longer})).accepted


@each_violation
def test_the_status_of_an_old_object_can_be_written(upgraded: ApiClient, edits: dict[str, Any]) -> None:
    stored = upgraded.get(edited(base(), edits))
    answer = upgraded.update(
        {**stored, "status": {"phase": "Failed", "message": "spec is not valid"}}, dry_run=False, subresource="/status"
    )
    assert answer.accepted, answer.message
    assert answer.body["status"]["phase"] == "Failed"


@each_violation
def test_an_old_object_can_be_labelled_and_changed_elsewhere(upgraded: ApiClient, edits: dict[str, Any]) -> None:
    stored = upgraded.get(edited(base(), edits))
    answer = upgraded.update(edited(stored, {"metadata.labels": {"team": "search"}, "spec.suspend": True}))
    if edits["metadata.name"] == "whole":
        # The rule stands at the spec itself, so a change of the spec asks it again; labels alone do not.
        assert "must divide the embedder's dimensions" in answer.message
        answer = upgraded.update(edited(stored, {"metadata.labels": {"team": "search"}}))
    assert answer.accepted, answer.message


@each_violation
def test_an_old_object_can_be_deleted_and_its_finalizer_removed(upgraded: ApiClient, edits: dict[str, Any]) -> None:
    assert upgraded.delete(edited(base(), edits)).accepted
    stored = upgraded.get(edited(base(), edits))
    assert stored["metadata"]["deletionTimestamp"]
    answer = upgraded.update(edited(stored, {"metadata.finalizers": []}), dry_run=False)
    assert answer.accepted, answer.message
