"""The operator against a real API server: from a spec to its children, at rest, and back after every hand that touches them."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from integration.operator.oracles import dishonest, unowned
from integration.operator.replica import Nursery
from integration.operator.scenario import NAME, Scenario, scenario
from rag_operator import names
from rag_operator.kube.resources import CHILDREN, DEPLOYMENTS

AT_REST = 120.0 if os.environ.get("RAG_CAMPAIGN") else 7.0  # seconds; a cluster's own test takes thirty


async def test_a_spec_becomes_children_that_are_ours_and_a_pipeline_that_serves(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create()
        body = await found.ready()
        children = await found.children()
        kinds = {kind for kind, _ in children}
        assert {"ControllerRevision", "RAGIndex", "Deployment", "StatefulSet", "Service", "NetworkPolicy", "Role", "ConfigMap"} <= kinds
        assert unowned(children, body["metadata"]["uid"]) == []
        assert dishonest(body) == []
        assert body["status"]["stable"]["weight"] == 100


@pytest.mark.timeout(300)
async def test_at_rest_nothing_is_written_even_while_children_report_and_others_touch_what_is_not_ours(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create()
        await found.ready()
        writes, reads, began = len(found.proxy.sent()), found.proxy.reads, time.monotonic()
        touched = 0
        while time.monotonic() - began < AT_REST:
            touched += await touch(found, round(time.monotonic() - began))
            await asyncio.sleep(1)
        late = found.proxy.sent()[writes:]
        took, asked = time.monotonic() - began, found.proxy.reads - reads
        print(f"\nat rest for {took:.0f} s, {touched} changes by others: {len(late)} writes, {asked} reads of the operator")
        assert [f"{write.method} {write.path} {write.body}" for write in late] == []
        # It was at rest, not gone.
        await found.change({"gateway": {"replicas": 2}})
        await found.ready()
        assert found.starts == 1


async def touch(found: Scenario, second: int) -> int:
    """What happens in a cluster all the time: a controller's news, a new listing, somebody's annotation and field. Returns how much."""
    children = await found.children()
    kinds = {resource.kind: resource for resource in CHILDREN}
    for kind, name in children:
        if kind not in ("ControllerRevision", "Job"):
            await found.client.patch(kinds[kind], found.namespace, name, {"metadata": {"annotations": {"example.com/note": f"{second}"}}})
    news = [(key, body) for key, body in children.items() if key[0] in ("Deployment", "RAGIndex")]
    for (kind, name), body in news:
        await found.report(kinds[kind], name, _news(kind, body, second))
    gateway = names.gateway(NAME)
    await found.client.patch(DEPLOYMENTS, found.namespace, gateway, {"spec": {"minReadySeconds": second % 5}})
    return len(children) + len(news)


def _news(kind: str, body: dict[str, Any], second: int) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if kind == "RAGIndex":
        listing = {"id": f"listing-{second}", "startTime": now, "duration": 0.1}
        source = {"name": "docs", "listing": listing, "documents": 3}
        return {"sync": {**body["status"]["sync"], "listing": listing, "sources": [source]}}
    progress = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "lastUpdateTime": now}
    return {"conditions": [progress]}
