"""An operator for some namespaces only, when one of them is taken away: the others are served, and it is when it comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from cluster.api_only import ApiServer
from cluster.ports import free_port
from integration.operator import namespaces
from integration.operator.replica import QUICK, Nursery, Replica
from integration.operator.rights import bind, give
from integration.operator.scenario import MINIMAL, NAME, Scenario, scenario
from integration.operator.waiting import until
from rag_operator import errors, names
from rag_operator.desired import permissions
from rag_operator.kube.access import load
from rag_operator.kube.client import Client
from rag_operator.kube.resources import CONTROLLER_REVISIONS, PIPELINES, ROLE_BINDINGS, ROLES, SERVICES, WATCHED

LEASE = "rag-operator"


@dataclass
class Two:
    """A scenario in one namespace, and another one that the operator looks after as well, in which no pod ever starts."""

    found: Scenario
    other: str
    user: str
    allowed: Client  # the operator's own rights
    port: int

    async def open(self) -> None:
        """Make the other namespace, with the operator's rights in it."""
        await self.found.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.other}})
        await self.give()

    async def give(self) -> None:
        """Give the operator its rights in the other namespace."""
        for manifest in bind(self.user, self.other, permissions.OPERATOR):
            await give(self.found.client, manifest)
        await until("rights in the other namespace", self.within_reach)

    async def take_rights(self) -> None:
        """Take the operator's rights in the other namespace away; what is there stays."""
        for resource in (ROLE_BINDINGS, ROLES):
            body = await self.found.client.get(resource, self.other, self.user)
            assert body is not None
            await self.found.client.delete(resource, self.other, self.user, uid=body["metadata"]["uid"])
        await until("no rights in the other namespace", self.out_of_reach)
        self.found.proxy.break_watches()  # a watch that is open goes on for minutes

    async def delete(self) -> None:
        """Delete the other namespace with everything in it, rights too."""
        await namespaces.delete(self.found.client, self.other)
        await namespaces.until_gone(self.found.client, self.other)
        await until("its rights are gone, too", self.out_of_reach)

    async def within_reach(self) -> bool:
        """Whether the operator may look into the other namespace."""
        try:
            for resource in WATCHED:
                if not resource.optional:
                    await self.allowed.list(resource, self.other)
        except errors.Forbidden:
            return False
        return True

    async def out_of_reach(self) -> bool:
        """Whether the operator may not even see pipelines in the other namespace."""
        try:
            await self.allowed.list(PIPELINES, self.other)
        except errors.Forbidden:
            return True
        return False

    async def start(self) -> Replica:
        """Start the operator for both namespaces."""
        return await self.found.start(namespaces=f"{self.found.namespace},{self.other}", metrics_port=self.port)

    async def create(self, name: str = NAME) -> None:
        """Make a pipeline in the other namespace."""
        meta = {"name": name, "namespace": self.other}
        await self.found.client.create({"apiVersion": PIPELINES.api_version, "kind": PIPELINES.kind, "metadata": meta, "spec": MINIMAL})

    async def served(self, generation: int = 1) -> None:
        """Wait until the pipeline of the other namespace is worked on as it is now."""

        async def seen() -> bool:
            body = await self.found.client.get(PIPELINES, self.other, NAME) or {}
            return bool((body.get("status") or {}).get("observedGeneration", 0) >= generation)

        await until("the other namespace is served", seen)

    async def probe(self, path: str) -> int:
        """What a probe of the operator answers."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/{path}") as answer:
            return answer.status

    def warnings(self) -> list[dict[str, object]]:
        """What the log says of the other namespace but for kopf's watches."""
        assert self.found.replica is not None
        lines = [line for line in self.found.replica.lines() if line["level"] in ("warning", "error") and self.other in json.dumps(line)]
        return [line for line in lines if not str(line["logger"]).startswith("kopf")]

    async def warned(self) -> bool:
        """Whether the log says that it is out of reach."""
        return any("watch.namespaces" in str(line["message"]) for line in self.warnings())


@asynccontextmanager
async def two(api: ApiServer, nursery: Nursery, directory: Path, namespace: str) -> AsyncIterator[Two]:
    user, other = f"{namespace}-operator", f"{namespace}-other"
    kubeconfig = str(api.kubeconfig_for(user))
    async with (
        scenario(api, nursery, directory, namespace, kubeconfig, lease_name=LEASE) as found,
        Client(await load(kubeconfig)) as allowed,
    ):
        own = bind(user, namespace, (*permissions.OPERATOR, *permissions.leader(LEASE)))
        for manifest in (*own, *bind(user, None, permissions.DISCOVERY), *bind(user, "default", permissions.API_SERVER)):
            await give(found.client, manifest)
        both = Two(found, other, user, allowed, free_port())
        await both.open()
        await asyncio.to_thread(
            api.wait_allowed, user, verb="list", group="discovery.k8s.io", resource="endpointslices", namespace="default"
        )
        try:
            yield both
        finally:
            for replica in found.replicas:
                replica.kill()
            await namespaces.delete(found.client, other)


@pytest.mark.timeout(300)
async def test_a_namespace_that_is_gone_keeps_nothing_from_the_others_and_is_served_when_it_is_made_anew(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with two(api, nursery, tmp_path, namespace) as both:
        replica = await both.start()
        await both.create()
        await both.served()
        await both.delete()
        replica.kill()
        await replica.gone()
        before = len(both.warnings())
        await both.start()
        await both.found.create()
        await both.found.ready()
        await asyncio.sleep(2 * float(str(QUICK["resync"])))
        assert [await both.probe(path) for path in ("readyz", "healthz")] == [200, 200]
        (warning,) = both.warnings()[before:]
        assert "watch.namespaces" in str(warning["message"])
        await both.open()
        await both.create()
        await both.served()


@pytest.mark.timeout(300)
async def test_what_a_watch_lost_is_found_while_another_namespace_is_out_of_reach(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with two(api, nursery, tmp_path, namespace) as both:
        found = both.found
        await both.start()
        await found.create()
        await found.ready()
        await both.take_rights()
        found.proxy.hide = lambda event: event.get("object", {}).get("kind") == "Service"
        service = await found.client.get(SERVICES, namespace, names.gateway(NAME))
        assert service is not None
        await found.client.delete(SERVICES, namespace, names.gateway(NAME), uid=service["metadata"]["uid"])

        async def back() -> bool:
            return await found.client.get(SERVICES, namespace, names.gateway(NAME)) is not None

        await until("the Service is back", back)


@pytest.mark.timeout(300)
async def test_what_is_out_of_reach_is_left_alone_and_served_again_as_it_was_without_a_restart(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with two(api, nursery, tmp_path, namespace) as both:
        client = both.found.client
        await both.start()
        await both.create()
        await both.served()

        async def recorded() -> bool:
            return bool(await client.list(CONTROLLER_REVISIONS, both.other))

        await until("a revision is recorded", recorded)
        (record,) = await client.list(CONTROLLER_REVISIONS, both.other)
        await both.take_rights()
        await until("a warning", both.warned)
        await client.patch(PIPELINES, both.other, NAME, {"spec": {"gateway": {"replicas": 2}}})
        await both.give()
        await both.served(generation=2)
        (same,) = await client.list(CONTROLLER_REVISIONS, both.other)
        assert same["metadata"]["uid"] == record["metadata"]["uid"]
