"""Writes that take something away: exactly what was seen, and a finalizer only where nobody waits for it any more."""

from __future__ import annotations

from typing import Any

import pytest

from rag_operator import errors, names
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.writer import Writer
from rag_operator.kube.child import Child
from rag_operator.kube.resources import AUTOSCALERS, INDEXES, SERVICES, Resource

KEY = Key("n", "handbook")


class Server:
    """Has one object, and records what is sent."""

    def __init__(self, body: dict[str, Any], *, changed: bool = False) -> None:
        self.body, self._changed = body, changed
        self.sent: list[tuple[str, dict[str, Any]]] = []

    async def get(self, *_: object) -> dict[str, Any]:
        return self.body

    async def patch(self, _: Resource, __: str, ___: str, change: dict[str, Any]) -> dict[str, Any]:
        self.sent.append(("patch", change))
        return self.body

    async def apply(self, manifest: dict[str, Any], **_: object) -> dict[str, Any]:
        self.sent.append(("apply", manifest))
        if self._changed and "resourceVersion" in manifest["metadata"]:
            raise errors.Conflict("the object has been modified", status=409)
        return {**self.body, **manifest, "metadata": {**self.body["metadata"], **manifest["metadata"]}}

    async def delete(self, _: Resource, __: str, ___: str, **exactly: str) -> None:
        self.sent.append(("delete", exactly))
        if self._changed:
            raise errors.Conflict("the object has been modified", status=409)


def body(resource: Resource, **meta: Any) -> dict[str, Any]:
    owner = {"uid": "owner", "controller": True}
    labels = {names.LABEL_PIPELINE: KEY.name}
    found = {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": labels, "ownerReferences": [owner], **meta}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": found}


def knowing(resource: Resource, server: Server) -> tuple[Writer, dict[tuple[str, str], Child]]:
    mirror = Mirror()
    mirror.put(resource, server.body)
    return Writer(server, mirror), mirror.children(KEY)  # type: ignore[arg-type]


async def test_a_child_is_deleted_as_it_was_seen_and_not_when_it_changed() -> None:
    server = Server(body(SERVICES), changed=True)
    writer, children = knowing(SERVICES, server)
    with pytest.raises(errors.Conflict):
        await writer.prune([], children, "owner")
    assert server.sent == [("delete", {"uid": "u", "version": "7"})]


async def test_a_workload_is_stopped_however_it_changes_and_is_seen_until_its_pods_ended() -> None:
    server = Server(body(SERVICES))
    writer, children = knowing(SERVICES, server)
    await writer.stop(next(iter(children.values())), "the pipeline is deleted")
    assert server.sent == [("delete", {"uid": "u", "propagation": "Foreground"})]


@pytest.mark.parametrize(
    ("meta", "kept"),
    [
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [names.FINALIZER, "other"]}, ["other"]),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["other"]}, None),
        ({"finalizers": [names.FINALIZER]}, None),
    ],
    ids=["it is deleted and held by us", "it is deleted and held by others", "it is not deleted"],
)
async def test_an_index_is_let_go_only_when_somebody_deleted_it(meta: dict[str, Any], kept: list[str] | None) -> None:
    server = Server(body(INDEXES, **meta))
    writer, _ = knowing(INDEXES, server)
    await writer.release_indexes(KEY)
    expected = [] if kept is None else [("patch", {"metadata": {"finalizers": kept, "resourceVersion": "7"}})]
    assert server.sent == expected


async def test_a_size_is_changed_only_as_it_was_seen_so_that_a_late_leader_lowers_nothing() -> None:
    server = Server(body(AUTOSCALERS), changed=True)
    writer, children = knowing(AUTOSCALERS, server)
    meta = {"name": "x", "namespace": "n", "labels": {names.LABEL_PIPELINE: KEY.name}}
    lower = {"apiVersion": AUTOSCALERS.api_version, "kind": AUTOSCALERS.kind, "metadata": meta, "spec": {"minReplicas": 1}}
    with pytest.raises(errors.Conflict):
        await writer.bring([lower], children)
    assert [(what, sent["metadata"]["resourceVersion"]) for what, sent in server.sent] == [("apply", "7")]
    await writer.bring([lower], {})
    assert "resourceVersion" not in server.sent[-1][1]["metadata"], "one that is not there yet is made"
