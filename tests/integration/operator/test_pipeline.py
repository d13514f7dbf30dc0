"""The operator against a real API server: from a spec to its children, at rest, and back after every hand that touches them."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

from cluster.api_only import ApiServer
from integration.operator.oracles import dishonest, first_difference, unowned
from integration.operator.replica import Nursery
from integration.operator.scenario import scenario


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


async def test_at_rest_nothing_is_written_even_while_others_touch_what_is_not_ours(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create()
        await found.ready()
        before = len(found.proxy.sent())
        deployment = next(body for (kind, name), body in (await found.children()).items() if kind == "Deployment" and "embedder" in name)
        from rag_operator.kube.resources import DEPLOYMENTS

        name = deployment["metadata"]["name"]
        await found.client.patch(DEPLOYMENTS, namespace, name, {"metadata": {"annotations": {"example.com/note": "mine"}}})
        await asyncio.sleep(7)
        late = found.proxy.sent()[before - 1 :]
        changed = [first_difference(one.body["status"], other.body["status"]) for one, other in itertools.pairwise(late)]
        assert changed == []
