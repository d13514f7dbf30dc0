"""A namespace that is deleted with a pipeline in it: nothing of ours keeps it from being gone."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest

from cluster.api_only import ApiServer
from integration.operator import namespaces
from integration.operator.replica import Nursery
from integration.operator.scenario import MINIMAL, Scenario, scenario
from integration.operator.test_deletion import begun
from integration.operator.waiting import until
from rag_operator import names
from rag_operator.kube.client import Object
from rag_operator.kube.resources import JOBS, PODS

WHOLE = bool(os.environ.get("RAG_CAMPAIGN"))
TRACKED = "batch.kubernetes.io/job-tracking"  # what keeps a pod until its Job has counted it, and, counted by share, replaced it


@pytest.mark.timeout(200)
@pytest.mark.parametrize("running", [True, False][: 2 if WHOLE else 1])
async def test_a_namespace_that_terminates_is_never_held_up(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str, *, running: bool
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await begun(found)
        replica = found.replica
        assert replica is not None
        if not running:
            replica.kill()
            await replica.gone()
        await namespaces.delete(found.client, namespace)
        if not running:
            # Its own Lease cannot be made there any more: it runs elsewhere, as a cluster's operator does.
            await found.start(namespace="default", lease_name=f"lease-{namespace}")
        await namespaces.until_gone(found.client, namespace)


@pytest.mark.timeout(200)
async def test_a_job_that_cannot_replace_its_pods_keeps_no_namespace(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        found.world.building = False
        await found.start(namespace="default", lease_name=f"lease-{namespace}")  # it does not go with the namespace
        await found.create({**copy.deepcopy(MINIMAL), "indexer": {"buildParallelism": 2}})
        job = await the_build(found)
        first, second = await ended_pod(found, job, 0), await ended_pod(found, job, 1)
        await found.client.delete(PODS, namespace, first["metadata"]["name"], uid=first["metadata"]["uid"])

        async def rehearsed() -> bool:
            return any(request.query.get("dryRun") for _, request in found.proxy.requests)

        await until("somebody asks whether the namespace goes", rehearsed)
        assert (await the_build(found))["metadata"]["uid"] == job["metadata"]["uid"], "a drained node is no reason"
        await namespaces.delete(found.client, namespace)

        async def let_go() -> bool:
            return not await found.client.list(JOBS, namespace)

        await until("the Job is gone", let_go)
        for pod in (first, second):  # as a Job's controller does with the pods of one that is gone
            await found.client.patch(PODS, namespace, pod["metadata"]["name"], {"metadata": {"finalizers": None}})


async def the_build(found: Scenario) -> Object:
    """The Job that builds the index, once there is one."""

    async def builds() -> bool:
        return bool(await found.client.list(JOBS, found.namespace))

    await until("a build is under way", builds)
    (job,) = await found.client.list(JOBS, found.namespace)
    return job


async def ended_pod(found: Scenario, job: Object, share: int) -> Object:
    """A pod of a Job that failed and is kept."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": True}
    labels = {key: value for key, value in job["metadata"]["labels"].items() if key.startswith(names.GROUP)}
    name = f"{job['metadata']['name']}-{share}"
    meta = {"name": name, "namespace": found.namespace, "labels": labels, "ownerReferences": [owner], "finalizers": [TRACKED]}
    spec = {"containers": [{"name": "indexer", "image": "indexer:1"}], "automountServiceAccountToken": False}
    pod = await found.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    await found.world.say(PODS, pod, {"phase": "Failed"})
    return pod
