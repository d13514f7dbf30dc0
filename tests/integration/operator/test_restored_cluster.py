"""A namespace that is made again from a backup: other UIDs, no statuses, no owners. What was there is found, and nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from integration.operator.oracles import unowned
from integration.operator.replica import Nursery
from integration.operator.scenario import MINIMAL, NAME, Scenario, gone, scenario
from integration.operator.waiting import until
from rag_operator import names
from rag_operator.kube.client import Object
from rag_operator.kube.resources import CLAIMS, CONFIG_MAPS, CONTROLLER_REVISIONS, INDEXES, PIPELINES, Resource

WHOLE = bool(os.environ.get("RAG_CAMPAIGN"))
RECORDS: tuple[Resource, ...] = (CONTROLLER_REVISIONS, INDEXES, CONFIG_MAPS)
OF_A_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences", "deletionTimestamp")


def _restorable(body: Object, kind: Resource) -> Object:
    meta = {key: value for key, value in body["metadata"].items() if key not in OF_A_SERVER}
    kept = {key: value for key, value in body.items() if key not in ("status", "metadata")}
    return {"apiVersion": kind.api_version, "kind": kind.kind, **kept, "metadata": meta}


async def lose_everything(found: Scenario) -> None:
    """The operator ends, the pipeline goes and all that it owns."""
    for replica in found.replicas:
        replica.kill()
        await replica.gone()
    body = await found.pipeline()
    await found.client.delete(PIPELINES, found.namespace, NAME, uid=body["metadata"]["uid"])

    async def empty() -> bool:
        return gone(await found.pipeline()) and {kind for kind, _ in await found.children()} <= {CLAIMS.kind}

    await until("nothing is left but the claim", empty, 60)


async def restored(found: Scenario, kinds: tuple[Resource, ...]) -> tuple[Object, str]:
    """A pipeline that served is lost and restored with these kinds; its last status before, and its collection."""
    await found.start()
    await found.create()
    before = (await found.ready())["status"]
    (index,) = await found.client.list(INDEXES, found.namespace)
    kept = []
    for kind in kinds:
        kept += [_restorable(body, kind) for body in await found.client.list(kind, found.namespace, labels=names.LABEL_PIPELINE)]
    await lose_everything(found)
    for manifest in kept:
        await found.client.create(manifest)
    await found.create(MINIMAL)
    await found.start()
    return before, index["spec"]["collection"]


@pytest.mark.timeout(300)
async def test_with_records_the_same_revision_serves_again_from_the_same_data(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        before, collection = await restored(found, RECORDS)
        body = await found.ready()
        assert body["status"]["stable"]["revision"] == before["stable"]["revision"]
        (index,) = await found.client.list(INDEXES, namespace)
        assert index["spec"]["collection"] == collection
        assert unowned(await found.children(), body["metadata"]["uid"]) == []
        assert found.world.dropped == set()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kinds", [(), (INDEXES,)][: 2 if WHOLE else 1], ids=lambda kinds: f"{len(kinds)} kinds")
async def test_without_records_nothing_is_dropped_and_indexes_that_are_found_wait_for_somebody(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str, kinds: tuple[Resource, ...]
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        _, collection = await restored(found, kinds)

        def settled(body: dict[str, Any]) -> bool:
            status = body.get("status") or {}
            return bool((status.get("candidate") or {}).get("waitingFor")) if kinds else status.get("phase") == "Ready"

        body = await found.until("waiting for somebody" if kinds else "Ready", settled)
        (index,) = await found.client.list(INDEXES, namespace)
        assert (index["spec"]["collection"] == collection) is bool(kinds)
        assert ("stable" in body["status"]) is not bool(kinds)
        assert found.world.dropped == set()
