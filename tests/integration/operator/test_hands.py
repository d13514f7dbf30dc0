"""Several hands on one object: an autoscaler that scales, a person who changes what is about to be deleted, an operator that is away."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from integration.operator.proxy import Do, Write
from integration.operator.replica import Nursery
from integration.operator.scenario import MINIMAL, Scenario, scenario
from integration.operator.waiting import until
from rag_operator import names
from rag_operator.kube.client import Object
from rag_operator.kube.resources import AUTOSCALERS, CHILDREN, DEPLOYMENTS, INGRESSES

AUTOSCALED = {"minReplicas": 1, "maxReplicas": 5, "targetQueueLength": 8}
KINDS = {resource.kind: resource for resource in CHILDREN}
FOREIGN = {"example.com/note": "mine"}


async def embedder(found: Scenario) -> Object:
    """The embedder's Deployment."""
    labels = f"{names.LABEL_KIND}={names.KIND_EMBEDDER}"
    (body,) = await found.client.list(DEPLOYMENTS, found.namespace, labels=labels)
    return body


async def scale(found: Scenario, replicas: int) -> None:
    """What an autoscaler does."""
    name = (await embedder(found))["metadata"]["name"]
    path = DEPLOYMENTS.path(found.namespace, name, "scale")
    query = {"fieldManager": "kube-controller-manager"}
    await found.client._send("PATCH", path, query=query, body={"spec": {"replicas": replicas}}, content="application/merge-patch+json")


class Seen:
    """Every number of replicas that the embedder was ever told to have, while somebody looks."""

    def __init__(self, found: Scenario) -> None:
        self._found = found
        self.replicas: list[int] = []

    async def __aenter__(self) -> Seen:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _look(self) -> None:
        while True:
            now = (await embedder(self._found))["spec"]["replicas"]
            if now not in self.replicas[-1:]:
                self.replicas.append(now)
            await asyncio.sleep(0.01)


@pytest.mark.timeout(200)
async def test_replicas_are_handed_to_an_autoscaler_and_back_without_a_jump_and_never_fought_over(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        spec = copy.deepcopy(MINIMAL)
        spec["embedder"]["local"]["replicas"] = 3
        await found.create(spec)
        await found.ready()
        async with Seen(found) as seen:
            before = (await embedder(found))["spec"]
            await found.change({"embedder": {"local": {"replicas": None, "autoscaling": AUTOSCALED}}})
            await found.ready()
            assert (await embedder(found))["spec"] == before, "handing over changed something"
            await scale(found, 5)
            await found.change({"embedder": {"local": {"pod": {"resources": {"limits": {"memory": "2Gi"}}}}}})
            await found.ready()
            await found.change({"embedder": {"local": {"replicas": 5, "autoscaling": None}}})
            await found.ready()
        assert seen.replicas == [3, 5]
        assert await found.client.list(AUTOSCALERS, namespace) == []


@pytest.mark.timeout(200)
async def test_what_somebody_else_took_over_a_moment_before_it_was_deleted_stays(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    gateway = names.gateway("handbook")
    refused: list[Write] = []

    def take_over(write: Write) -> Do:
        if write.method == "DELETE" and write.path.endswith(f"/ingresses/{gateway}") and not refused:
            refused.append(write)
            change = '{"metadata": {"ownerReferences": null}}'
            api.kubectl("-n", namespace, "patch", "ingress", gateway, "--type=merge", "-p", change)
        return Do.PASS

    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        spec = copy.deepcopy(MINIMAL)
        spec["gateway"]["ingress"] = {"host": "handbook.example.com"}
        await found.create(spec)
        await found.ready()
        found.proxy.decide = take_over
        await found.change({"gateway": {"ingress": None}})
        await found.ready()
        assert [write.status for write in refused] == [409]
        assert await found.client.get(INGRESSES, namespace, gateway) is not None


@pytest.mark.timeout(300)
async def test_every_child_that_is_deleted_or_edited_while_the_operator_is_down_is_back_when_it_is_up(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        replica = await found.start()
        await found.create()
        await found.ready()
        children = await found.children()
        replica.kill()
        await replica.gone()
        deleted, edited = await vandalise(found, children)
        await found.start()

        async def mended() -> bool:
            now = await found.children()
            back = all(key in now and now[key]["metadata"]["uid"] != uid for key, uid in deleted.items())
            return back and all(now[key]["metadata"]["labels"].get(names.LABEL_MANAGED_BY) == names.MANAGED_BY for key in edited)

        await until("everything is back", mended)
        now = await found.children()
        assert [key for key in edited if now[key]["metadata"]["annotations"].get("example.com/note") != "mine"] == []
        await found.ready()


async def vandalise(found: Scenario, children: dict[tuple[str, str], dict[str, Any]]) -> tuple[dict[tuple[str, str], str], list[Any]]:
    """Delete every second child of each kind and edit the others; what was deleted, by its UID, and what was edited."""
    deleted: dict[tuple[str, str], str] = {}
    edited = []
    for number, ((kind, name), body) in enumerate(sorted(children.items())):
        # A Job that did its work is not made again; a record cannot be edited; a claim is kept by its protection.
        if kind == "Job":
            continue
        if kind == "ControllerRevision" or (kind != "PersistentVolumeClaim" and number % 2):
            deleted[kind, name] = body["metadata"]["uid"]
            await found.client.delete(KINDS[kind], found.namespace, name, uid=deleted[kind, name])
            continue
        edited.append((kind, name))
        change = {"metadata": {"labels": {names.LABEL_MANAGED_BY: "somebody"}, "annotations": FOREIGN}}
        await found.client.patch(KINDS[kind], found.namespace, name, change)
    return deleted, edited
