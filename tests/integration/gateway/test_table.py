"""Where the table comes from: a ConfigMap of a real API server, with the rights of a gateway's role."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from cluster.api_only import ApiServer
from doubles.cluster_table import NAME, ClusterTable
from doubles.corpus import Indexed, route, table
from doubles.embedder import EmbedderDouble
from doubles.gateway import LONG_PATIENCE, GatewayProcess, ask

pytestmark = pytest.mark.asyncio(loop_scope="session")

Indexes = tuple[Indexed, Indexed]


async def test_a_gateway_waits_for_its_table_follows_it_and_survives_what_happens_to_it(
    indexes: Indexes, small: EmbedderDouble, api_server: ApiServer, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    one, two = (table(epoch, route(f"r{epoch}", indexes[0], small)) for epoch in (4, 5))
    async with ClusterTable(api_server, "follow") as cluster, GatewayProcess(tmp_path, **cluster.environment, **LONG_PATIENCE) as gateway:
        async with http.get(gateway.metrics_url + "/readyz") as response:
            assert response.status == 503
        status, headers, _ = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})
        assert (status, headers["retry-after"]) == (503, "2")

        await cluster.create(one)
        await gateway.serving(4)
        async with http.get(gateway.metrics_url + "/readyz") as response:
            assert response.status == 200

        await cluster.write("{not a table")
        await cluster.publish(table(3, route("older", indexes[0], small)))  # never a step back
        await cluster.publish(two)
        await gateway.serving(5)
        assert await gateway.metric("rag_gateway_tables_rejected_total") == 2

        await cluster.delete()
        await cluster.create(table(6, route("r6", indexes[0], small)))
        await gateway.serving(6)
        _, headers, _ = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})
        assert headers["x-rag-revision"] == "r6"

        reads = [event for event in api_server.audit_events() if event["user"]["username"] == "gateway-follow"]
        assert {event["verb"] for event in reads} == {"get", "watch"}
        assert {event["objectRef"].get("name") for event in reads} == {NAME}
        assert not any("resourceVersion=" in event["requestURI"] for event in reads if event["verb"] == "get")  # quorum reads


async def test_an_api_server_that_is_gone_changes_nothing_until_it_is_back(
    indexes: Indexes, small: EmbedderDouble, fresh_api_server: ApiServer, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with ClusterTable(fresh_api_server, "outage") as cluster:
        await cluster.create(table(1, route("r1", indexes[0], small)))
        async with GatewayProcess(tmp_path, **cluster.environment, **LONG_PATIENCE) as gateway:
            await gateway.serving(1)
            fresh_api_server.kill("kube-apiserver")

            status, headers, _ = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})
            assert (status, headers["x-rag-revision"]) == (200, "r1")

            fresh_api_server.start("kube-apiserver")
            await cluster.publish(table(2, route("r2", indexes[0], small)))
            await gateway.serving(2)
