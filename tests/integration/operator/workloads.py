"""What happens to a pipeline in the campaigns: each workload is a sequence of steps, each with what must be so afterwards."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from integration.operator.oracles import STRANGER
from integration.operator.scenario import MINIMAL, Scenario, gone
from integration.operator.waiting import until
from rag_operator import errors
from rag_operator.kube.resources import PIPELINES, SERVICE_ACCOUNTS

_AUTOSCALED = {"minReplicas": 1, "maxReplicas": 3, "targetQueueLength": 8}


@dataclass(frozen=True)
class Workload:
    """A name, and what is done."""

    name: str
    run: Callable[[Scenario], Awaitable[dict[str, Any]]]


async def create(found: Scenario) -> dict[str, Any]:
    """A pipeline is made."""
    await found.create()
    return await found.ready()


async def scale(found: Scenario) -> dict[str, Any]:
    """The gateway gets another replica, the embedder other resources: in place."""
    await create(found)
    await _change(found, {"gateway": {"replicas": 2}, "embedder": {"local": {"pod": {"resources": {"limits": {"memory": "2Gi"}}}}}})
    return await found.ready()


async def autoscale(found: Scenario) -> dict[str, Any]:
    """Autoscaling is switched on, and off again."""
    await create(found)
    await _change(found, {"embedder": {"local": {"replicas": None, "autoscaling": _AUTOSCALED}}})
    await found.ready()
    await _change(found, {"embedder": {"local": {"replicas": 2, "autoscaling": None}}})
    return await found.ready()


async def change_source(found: Scenario) -> dict[str, Any]:
    """A source is added: data, no new index."""
    await create(found)
    sources = [*copy.deepcopy(MINIMAL["sources"]), {"name": "more", "s3": {"bucket": "more-docs"}}]
    await _change(found, {"sources": sources})
    return await found.ready()


async def change_model(found: Scenario) -> dict[str, Any]:
    """Another embedding model: a second index beside the first, and traffic moves to it."""
    await create(found)
    model = {"name": "acme/large", "revision": "2", "source": {"image": {"reference": "models:1", "path": "large"}}}
    await _change(found, {"embedder": {"local": {"model": model}}})
    return await found.ready()


async def suspend(found: Scenario) -> dict[str, Any]:
    """It is suspended, changed, and resumed."""
    await create(found)
    await _change(found, {"suspend": True})
    await found.until("Suspended", lambda body: (body.get("status") or {}).get("phase") == "Suspended")
    await _change(found, {"gateway": {"replicas": 2}})
    await _change(found, {"suspend": False})
    return await found.ready()


async def delete(found: Scenario) -> dict[str, Any]:
    """It is deleted."""
    body = await create(found)
    await found.client.delete(PIPELINES, found.namespace, body["metadata"]["name"], uid=body["metadata"]["uid"])
    gone_body = await found.until("gone", gone)
    await found.collected(body["metadata"]["uid"])
    return gone_body


async def revert(found: Scenario) -> dict[str, Any]:
    """A field is set and taken away again: the end is that of `create`."""
    await create(found)
    await _change(found, {"embedder": {"local": {"pod": {"priorityClassName": "system-cluster-critical"}}}})
    await found.ready()
    await _change(found, {"embedder": {"local": {"pod": None}}})
    return await found.ready()


async def beside_a_stranger(found: Scenario) -> dict[str, Any]:
    """Somebody else has an object with the pipeline's label; it is left alone."""
    labels = {"ragops.dev/pipeline": "handbook", "ragops.dev/kind": "gateway"}
    meta = {"name": STRANGER, "namespace": found.namespace, "labels": labels}
    await found.client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    body = await create(found)
    if await found.client.get(SERVICE_ACCOUNTS, found.namespace, STRANGER) is None:
        found.failures.append("somebody else's object was deleted")
    return body


async def delete_external(found: Scenario) -> dict[str, Any]:
    """A pipeline on an external store is deleted, with its data."""
    store = {"milvus": {"external": {"address": "milvus.example:19530"}}}
    await found.create({**MINIMAL, "vectorStore": store, "deletionPolicy": "Delete"})
    body = await found.ready()
    found.safety.deleting = True
    await found.client.delete(PIPELINES, found.namespace, body["metadata"]["name"], uid=body["metadata"]["uid"])
    gone_body = await found.until("gone", gone)
    # Indexes are let go when their pipeline is gone, by an operator that may only just have started again.
    await until("nothing is left", lambda: nothing_is_left(found), found.patience)
    if not any("/jobs" in write.path and "-drop-" in str(write.body.get("metadata", {}).get("name")) for write in found.proxy.sent()):
        found.failures.append("the data in the store were left behind")
    return gone_body


async def nothing_is_left(found: Scenario) -> bool:
    """Whether every child is gone."""
    return not await found.children()


_EVERY = (create, scale, autoscale, change_source, change_model, suspend, delete, revert, beside_a_stranger, delete_external)
ALL = tuple(Workload(run.__name__, run) for run in _EVERY)
BY_NAME = {workload.name: workload for workload in ALL}


async def _change(found: Scenario, spec: dict[str, Any]) -> None:
    """Change the spec as a person would: again, if the server did not answer."""
    for _ in range(20):
        try:
            await found.change(spec)
            return
        except errors.Unavailable:
            await asyncio.sleep(0.2)
