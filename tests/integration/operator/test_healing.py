"""Whatever a hand, or a lost event, does to the children: they come back, and what is not ours stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cluster.api_only import ApiServer
from integration.operator.replica import Nursery
from integration.operator.scenario import Scenario, scenario
from integration.operator.waiting import until
from rag_operator import names
from rag_operator.kube.resources import CHILDREN, DEPLOYMENTS, SERVICES, Resource

# A claim is kept by its protection until nobody uses it; a Job that did its work is not made again.
_NOT_DELETED = ("PersistentVolumeClaim", "Job")
KINDS = {resource.kind: resource for resource in CHILDREN}


async def back(found: Scenario, resource: Resource, name: str, uid: str) -> bool:
    """Whether there is another object under the name."""
    body = await found.client.get(resource, found.namespace, name)
    return body is not None and body["metadata"]["uid"] != uid


async def ours(found: Scenario, resource: Resource, name: str) -> bool:
    """Whether an object says again who manages it."""
    body = await found.client.get(resource, found.namespace, name) or {}
    return bool(body.get("metadata", {}).get("labels", {}).get(names.LABEL_MANAGED_BY) == names.MANAGED_BY)


@pytest.mark.timeout(300)
async def test_every_child_that_is_deleted_or_edited_by_hand_comes_back(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create()
        await found.ready()
        children = await found.children()
        for (kind, name), body in children.items():
            resource = KINDS[kind]
            if kind not in ("Job", "ControllerRevision"):
                await found.client.patch(resource, namespace, name, {"metadata": {"labels": {names.LABEL_MANAGED_BY: "somebody"}}})
                await until(f"{kind} {name} is ours again", lambda resource=resource, name=name: ours(found, resource, name))
            if kind not in _NOT_DELETED:
                uid = body["metadata"]["uid"]
                await found.client.delete(resource, namespace, name, uid=uid)
                await until(f"{kind} {name} is back", lambda resource=resource, name=name, uid=uid: back(found, resource, name, uid))
        await found.ready()
        assert set(await found.children()) >= {key for key in children if key[0] != "Job"}


@pytest.mark.timeout(200)
async def test_what_was_done_while_the_operator_was_down_is_found_when_it_starts(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        replica = await found.start()
        await found.create()
        await found.ready()
        replica.kill()
        await replica.gone()
        gateway = await found.client.get(DEPLOYMENTS, namespace, names.gateway("handbook"))
        service = await found.client.get(SERVICES, namespace, names.gateway("handbook"))
        assert gateway is not None
        assert service is not None
        await found.client.patch(DEPLOYMENTS, namespace, names.gateway("handbook"), {"spec": {"replicas": 5, "paused": True}})
        await found.client.delete(SERVICES, namespace, names.gateway("handbook"), uid=service["metadata"]["uid"])
        await found.start()

        async def mended() -> bool:
            body = await found.client.get(DEPLOYMENTS, namespace, names.gateway("handbook")) or {}
            return body["spec"]["replicas"] == 1 and await back(found, SERVICES, names.gateway("handbook"), service["metadata"]["uid"])

        await until("the gateway is as it should be", mended)
        body = await found.client.get(DEPLOYMENTS, namespace, names.gateway("handbook")) or {}
        assert body["spec"]["paused"] is True, "a field that is not ours was taken away"


@pytest.mark.timeout(200)
@pytest.mark.parametrize("fault", ["hidden", "stalled"])
async def test_what_a_watch_lost_is_found_by_comparing(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str, fault: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create()
        await found.ready()
        service = await found.client.get(SERVICES, namespace, names.gateway("handbook"))
        assert service is not None
        if fault == "stalled":
            found.proxy.stalled = True
        else:
            found.proxy.hide = lambda event: event["object"].get("kind") == "Service"
        await found.client.delete(SERVICES, namespace, names.gateway("handbook"), uid=service["metadata"]["uid"])
        await until("the Service is back", lambda: back(found, SERVICES, names.gateway("handbook"), service["metadata"]["uid"]))


@pytest.mark.timeout(200)
async def test_watches_that_are_too_old_begin_again_without_a_write(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create()
        await found.ready()
        before, reads = len(found.proxy.sent()), found.proxy.reads
        found.proxy.watch_ends = lambda: True
        for child in (SERVICES, DEPLOYMENTS):
            await found.client.patch(child, namespace, names.gateway("handbook"), {"metadata": {"annotations": {"example.com/note": "x"}}})
        await asyncio.sleep(1)
        found.proxy.watch_ends = lambda: False
        await asyncio.sleep(2)
        assert found.proxy.sent()[before:] == []
        assert found.proxy.reads - reads < 300, "a busy loop"
