"""When a child must be written, and how."""

from __future__ import annotations

from typing import Any

import pytest

from rag_operator import errors, names
from rag_operator.kube import apply
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import Resource, of

OWNER = {"apiVersion": "ragops.dev/v1alpha1", "kind": "RAGPipeline", "name": "p", "uid": "owner", "controller": True}


def manifest(kind: str = "Deployment", api: str = "apps/v1", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "x", "namespace": "n", "labels": {names.LABEL_PIPELINE: "p"}, "ownerReferences": [OWNER]}
    return apply.stamped({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec})


def stored(body: dict[str, Any], **changes: Any) -> Child:
    owners = {f'k:{{"uid":"{owner["uid"]}"}}': {} for owner in body["metadata"]["ownerReferences"]}
    metadata = {
        "f:labels": {f"f:{label}": {} for label in body["metadata"]["labels"]},
        "f:annotations": {f"f:{name}": {} for name in body["metadata"]["annotations"]},
        "f:ownerReferences": owners,
    }
    ours = {"f:metadata": metadata, "f:spec": {f"f:{key}": {} for key in body["spec"]}}
    entry = {"manager": names.FIELD_MANAGER, "operation": "Apply", "fieldsV1": changes.pop("ours", ours)}
    meta = {**body["metadata"], "uid": "u", "resourceVersion": "7", "managedFields": [entry], **changes}
    return reduce(of(body), {**body, "metadata": meta})


class Server:
    """Records what is sent. `refuses`: the first apply is answered with 422."""

    def __init__(self, *, refuses: bool = False, exists: dict[str, Any] | None = None) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self._refuses, self._exists = refuses, exists

    async def apply(self, body: dict[str, Any], manager: str = names.FIELD_MANAGER) -> dict[str, Any]:
        self.sent.append(("apply", manager, body))
        if self._refuses:
            self._refuses = False
            raise errors.Invalid("duplicate port", status=422)
        return body

    async def replace(self, body: dict[str, Any]) -> dict[str, Any]:
        self.sent.append(("replace", "", body))
        return body

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.sent.append(("create", "", body))
        if self._exists is not None:
            raise errors.Conflict("exists", status=409)
        return body

    async def get(self, _: Resource, __: str, ___: str) -> dict[str, Any] | None:
        return self._exists


async def bring(server: Server, body: dict[str, Any], child: Child | None) -> Any:
    return await apply.bring(server, body, child)  # type: ignore[arg-type]


def test_the_same_intent_has_the_same_hash_in_whatever_order_it_was_built() -> None:
    assert apply.stamped({"metadata": {"name": "x"}, "a": 1, "b": 2}) == apply.stamped({"b": 2, "a": 1, "metadata": {"name": "x"}})


async def test_a_child_that_is_as_intended_is_not_written() -> None:
    server, body = Server(), manifest(replicas=2)
    assert await bring(server, body, stored(body)) is None
    assert server.sent == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"annotations": {names.ANNOTATION_INTENT: "another"}}, "intent"),
        ({"ownerReferences": []}, "metadata.ownerReferences"),
        ({"ours": {}}, "metadata"),
    ],
)
def test_what_differs_is_named(changes: dict[str, Any], why: str) -> None:
    body = manifest(replicas=2)
    assert apply.difference(body, stored(body, **changes)) == why


def test_a_missing_child_is_missing() -> None:
    assert apply.difference(manifest(), None) == "missing"


async def test_replicas_pass_to_an_autoscaler_without_falling_back_to_their_default() -> None:
    server, before = Server(), manifest(replicas=8, paused=False)
    await bring(server, manifest(paused=False), stored(before))
    assert [(what, manager) for what, manager, _ in server.sent] == [("apply", apply.HANDOVER_MANAGER), ("apply", names.FIELD_MANAGER)]
    assert server.sent[0][2]["spec"] == {"replicas": 8}
    assert "replicas" not in server.sent[1][2]["spec"]


async def test_what_wakes_up_under_an_autoscaler_has_a_pod_for_it_to_begin_with() -> None:
    server = Server()
    await bring(server, manifest(paused=False), stored(manifest(replicas=0, paused=False)))
    assert server.sent[0][2]["spec"] == {"replicas": 1}


async def test_a_service_whose_ports_cannot_be_merged_is_replaced() -> None:
    body = manifest("Service", "v1", ports=[{"port": 80}])
    there = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "resourceVersion": "9"}, "spec": {"ports": [{"port": 81}]}}
    server = Server(refuses=True, exists=there)
    await bring(server, body, stored(body, annotations={names.ANNOTATION_INTENT: "another"}))
    assert [what for what, _, _ in server.sent] == ["apply", "replace", "apply"]
    assert server.sent[1][2]["spec"]["ports"] == [{"port": 80}]


async def test_any_other_refusal_is_told() -> None:
    body = manifest(replicas=2)
    with pytest.raises(errors.Invalid):
        await bring(Server(refuses=True), body, None)


async def test_a_job_that_a_dead_pass_made_is_ours_and_somebody_elses_is_not() -> None:
    body = manifest("Job", "batch/v1", backoffLimit=1)
    assert await bring(Server(exists=body), body, None) == body
    foreign = {**body, "metadata": {**body["metadata"], "ownerReferences": []}}
    with pytest.raises(errors.Conflict):
        await bring(Server(exists=foreign), body, None)


def test_a_job_that_exists_is_never_written_again() -> None:
    body = manifest("Job", "batch/v1", backoffLimit=1)
    assert apply.difference(body, stored(body, annotations={}, ours={})) is None


@pytest.mark.parametrize(
    ("labels", "error"),
    [({"app": "theirs"}, errors.Invalid), ({names.LABEL_PIPELINE: "p"}, errors.Conflict)],
    ids=["somebody else's", "of a pipeline that was deleted"],
)
async def test_a_job_whose_name_is_taken_is_refused_unless_what_has_it_goes_by_itself(
    labels: dict[str, str], error: type[errors.ApiError]
) -> None:
    server: Any = Server(exists={"metadata": {"name": "x", "labels": labels}})
    with pytest.raises(error):
        await apply.bring(server, manifest("Job", "batch/v1"), None)
