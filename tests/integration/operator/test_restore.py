"""A cluster restored without status: what was stable is found again where that is certain, else adopted and never promoted by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from integration.operator.replica import Nursery
from integration.operator.scenario import NAME, Scenario, scenario
from rag_operator import names
from rag_operator.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, INDEXES, PIPELINES


async def lose_status(found: Scenario) -> None:
    """Stop the operator and take away what a backup does not hold."""
    for replica in found.replicas:
        replica.kill()
        await replica.gone()
    body = await found.pipeline()
    body.pop("status", None)
    path = PIPELINES.path(found.namespace, NAME, "status")
    await found.client._send("PUT", path, body=body)


async def index(found: Scenario) -> dict[str, Any]:
    """The one index."""
    return (await found.client.list(INDEXES, found.namespace))[0]


@pytest.mark.timeout(300)
async def test_with_records_and_routing_table_the_revision_that_had_the_traffic_is_stable_again(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create()
        before = (await found.ready())["status"]["stable"]
        there = await index(found)
        await lose_status(found)
        await found.start()
        after = (await found.ready())["status"]["stable"]
        assert after["revision"] == before["revision"]
        assert (await index(found))["metadata"]["uid"] == there["metadata"]["uid"]


@pytest.mark.timeout(300)
async def test_an_index_without_a_record_is_adopted_with_its_data_and_promoted_only_when_somebody_says_so(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create()
        await found.ready()
        there = await index(found)
        await lose_status(found)
        for resource, name in ((CONFIG_MAPS, names.routing_table(NAME)), *[(CONTROLLER_REVISIONS, one) for one in await records(found)]):
            body = await found.client.get(resource, namespace, name) or {}
            await found.client.delete(resource, namespace, name, uid=body["metadata"]["uid"])
        await found.start()

        def waits(body: dict[str, Any]) -> bool:
            return bool((body.get("status", {}).get("candidate") or {}).get("waitingFor"))

        body = await found.until("waiting for somebody", waits)
        candidate = body["status"]["candidate"]
        assert "stable" not in body["status"]
        await found.annotate({names.VERB_PROMOTE: f"{candidate['revision']}/{candidate['waitingFor']}"})
        await found.ready()
        kept = await index(found)
        assert kept["metadata"]["uid"] == there["metadata"]["uid"]
        assert kept["spec"]["collection"] == there["spec"]["collection"]


async def records(found: Scenario) -> list[str]:
    """Names of the recorded revisions."""
    listed = await found.client.list(CONTROLLER_REVISIONS, found.namespace, labels=names.LABEL_PIPELINE)
    return [body["metadata"]["name"] for body in listed]
