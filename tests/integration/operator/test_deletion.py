"""Deleting pipelines whose data lie in an external store: dropped whatever else happens at the same time, or left behind and said so."""

from __future__ import annotations

import asyncio
import copy
import os
from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from integration.operator.replica import Nursery
from integration.operator.scenario import MINIMAL, NAME, Scenario, gone, scenario
from integration.operator.waiting import until
from rag_operator import names
from rag_operator.kube.client import Object
from rag_operator.kube.resources import EVENTS, INDEXES, JOBS, PIPELINES, PODS

WHOLE = bool(os.environ.get("RAG_CAMPAIGN"))
EXTERNAL: dict[str, Any] = {
    **copy.deepcopy(MINIMAL),
    "vectorStore": {"milvus": {"external": {"address": "milvus.example:19530"}}},
    "deletionPolicy": "Delete",
}


async def begun(found: Scenario, **settings: object) -> Object:
    """A pipeline with an external store that serves; its index."""
    await found.start(**settings)
    await found.create(EXTERNAL)
    await found.ready()
    found.safety.deleting = True
    return await the_index(found)


async def the_index(found: Scenario) -> Object:
    """The one index."""
    (body,) = await found.client.list(INDEXES, found.namespace)
    return body


async def delete(found: Scenario, propagation: str = "Background") -> None:
    """Somebody deletes the pipeline."""
    uid = (await found.pipeline())["metadata"]["uid"]
    await found.client.delete(PIPELINES, found.namespace, NAME, uid=uid, propagation=propagation)


async def drops(found: Scenario) -> list[str]:
    """Names of the Jobs that drop."""
    listed = await found.client.list(JOBS, found.namespace)
    return sorted(body["metadata"]["name"] for body in listed if "-drop-" in body["metadata"]["name"])


async def let_go(found: Scenario, within: float = 60.0) -> None:
    """Wait until the pipeline and everything of it are gone."""
    await found.until("gone", gone, within)

    async def empty() -> bool:
        return not await found.children()

    await until("nothing is left", empty, 90)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("propagation", ["Foreground", "Background"][: 2 if WHOLE else 1])
async def test_collections_are_dropped_also_when_a_cascade_takes_everything_away_first(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str, propagation: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        index = await begun(found)
        found.world.drop_takes = 3.0
        await delete(found, propagation)
        await let_go(found)
        assert found.world.dropped == {index["spec"]["collection"]}


@pytest.mark.timeout(200)
async def test_nothing_is_dropped_while_somebody_may_still_write_into_it(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        found.world.building = False
        await found.start()
        await found.create(EXTERNAL)

        async def builds() -> bool:
            return any("-build-" in body["metadata"]["name"] for body in await found.client.list(JOBS, namespace))

        await until("a build is under way", builds)
        index = await the_index(found)
        pod = await a_pod(found, index["metadata"]["name"])
        await delete(found)

        async def stopped() -> bool:
            return not await builds()

        await until("the build is stopped", stopped)

        async def waits_for_the_pod_alone() -> bool:
            return f": {pod['metadata']['name']} may still write" in (await found.status()).get("message", "")

        await until("nothing but the pod is waited for", waits_for_the_pod_alone)
        await asyncio.sleep(1)
        assert await drops(found) == []
        assert names.FINALIZER in (await found.pipeline())["metadata"]["finalizers"]
        await found.client.delete(PODS, namespace, pod["metadata"]["name"], uid=pod["metadata"]["uid"])
        await let_go(found)
        assert found.world.dropped == {index["spec"]["collection"]}


async def a_pod(found: Scenario, index: str) -> Object:
    """A pod that fills an index, as a Job's controller makes it."""
    labels = names.labels(NAME, names.KIND_INDEXER, index)
    meta = {"name": f"{index}-build-1-0", "namespace": found.namespace, "labels": labels}
    spec = {"containers": [{"name": "indexer", "image": "indexer:1"}], "automountServiceAccountToken": False}
    return await found.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


@pytest.mark.timeout(200)
async def test_a_store_that_is_down_is_waited_for_and_tried_again(api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        index = await begun(found)
        found.world.stuck.add(index["metadata"]["name"])
        await delete(found)

        async def tried() -> bool:
            return bool(await drops(found))

        await until("a drop is tried", tried)
        (first,) = await drops(found)
        await found.world.fail(first, "failed to connect to milvus.example:19530")

        async def told() -> bool:
            return "failed to connect to milvus.example:19530" in (await found.status()).get("message", "")

        await until("the status says why", told)
        # It is tried again after twenty seconds. Only now, for until it is tried the status says why, and then it does not any more.
        await found.world.fail(first, "failed to connect to milvus.example:19530", ago=20)

        async def again() -> bool:
            return len(await drops(found)) == 2

        await until("it is tried again", again)
        found.world.stuck.clear()
        await let_go(found)
        assert found.world.dropped == {index["spec"]["collection"]}


@pytest.mark.timeout(200)
async def test_a_store_that_stays_down_is_given_up_and_what_is_left_behind_is_named(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        index = await begun(found, deletion_give_up=4.0)
        found.world.stuck.add(index["metadata"]["name"])
        await delete(found, "Foreground")
        await let_go(found)
        collection = index["spec"]["collection"]
        assert found.replica is not None
        assert collection in [line.get("collections") for line in found.replica.lines()]
        events = await found.client.list(EVENTS, namespace)
        assert [collection in event["message"] for event in events if event["reason"] == "CollectionsLeftBehind"] == [True]


@pytest.mark.timeout(200)
async def test_what_the_spec_says_last_decides_whether_data_are_dropped(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await begun(found)
        replica = found.replica
        assert replica is not None
        replica.kill()
        await replica.gone()
        await found.change({"deletionPolicy": "Retain"})
        await delete(found)
        await found.start()
        await let_go(found)
        assert found.world.dropped == set()
        assert not any("-drop-" in str(write.body) for write in found.proxy.sent())


@pytest.mark.timeout(200)
async def test_data_that_are_to_go_are_dropped_also_when_this_was_said_while_the_pipeline_was_suspended(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create({**EXTERNAL, "deletionPolicy": "Retain"})
        await found.ready()
        found.safety.deleting = True
        index = await the_index(found)
        await found.change({"suspend": True})
        await found.until("suspended", lambda body: (body.get("status") or {}).get("phase") == "Suspended")
        await found.change({"deletionPolicy": "Delete"})
        await found.until("held", lambda body: names.FINALIZER in body["metadata"].get("finalizers", ()))
        held = await the_index(found)
        assert held["metadata"]["finalizers"] == [names.FINALIZER]
        assert held["spec"] == index["spec"]
        await delete(found, "Foreground")
        await let_go(found)
        assert found.world.dropped == {index["spec"]["collection"]}


@pytest.mark.timeout(200)
async def test_an_index_deleted_by_hand_comes_back_with_its_data_and_a_pipeline_of_the_same_name_gets_new_ones(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        index = await begun(found)
        await found.client.delete(INDEXES, namespace, index["metadata"]["name"], uid=index["metadata"]["uid"])

        async def back() -> bool:
            body = await found.client.get(INDEXES, namespace, index["metadata"]["name"])
            return body is not None and body["metadata"]["uid"] != index["metadata"]["uid"]

        await until("the index is back", back)
        await found.ready()
        assert (await the_index(found))["spec"]["collection"] == index["spec"]["collection"]
        assert found.world.dropped == set()
        await delete(found, "Foreground")
        await found.until("gone", gone, 60)
        assert found.world.dropped == {index["spec"]["collection"]}
        await found.create(EXTERNAL)
        await found.ready()
        assert (await the_index(found))["spec"]["collection"] != index["spec"]["collection"]
