"""One pipeline's life in a namespace of its own: the operator behind the proxy, the world around it, and what is left at the end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from integration.operator import namespaces
from integration.operator.oracles import Safety
from integration.operator.proxy import Proxy, Write
from integration.operator.replica import Nursery, Replica
from integration.operator.world import World
from rag_operator import errors
from rag_operator.kube.access import load
from rag_operator.kube.client import Client
from rag_operator.kube.resources import CHILDREN, PIPELINES, PODS, WATCHED, Resource

NAME = "handbook"
SETTLED = 1.5  # seconds without a write: a planner that waits for gateways looks again after one
Change = Mapping[str, Any]

MINIMAL: dict[str, Any] = {
    "sources": [{"name": "docs", "s3": {"bucket": "company-docs"}}],
    "embedder": {
        "local": {
            "model": {"name": "acme/small", "revision": "1", "source": {"image": {"reference": "models:1", "path": "small"}}},
            "dimensions": 384,
            "replicas": 1,
        }
    },
    "vectorStore": {"milvus": {"standalone": {"storage": "1Gi"}}},
    "gateway": {"replicas": 1},
    "rollout": {"abortDelay": "0s", "rollback": {"window": "1m"}},
}


@dataclass
class Scenario:
    """What a test holds while the operator runs."""

    namespace: str
    client: Client  # the administrator's, past the proxy
    proxy: Proxy
    world: World
    nursery: Nursery
    directory: Path
    replica: Replica | None = None  # the one that was started last
    replicas: list[Replica] = field(default_factory=list)
    settings: dict[str, object] = field(default_factory=dict)
    safety: Safety = field(default_factory=Safety)
    starts: int = 0
    failures: list[str] = field(default_factory=list)  # what was not so at the end, and anything else that a workload found wrong
    patience: float = 90.0  # seconds
    settled: float = SETTLED
    _restarting: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, **settings: object) -> Replica:
        """Start the operator, again after it was killed."""
        self.starts += 1
        kubeconfig = str(self.proxy.kubeconfig(self.directory))
        own = {"kubeconfig": kubeconfig, "namespace": self.namespace, "namespaces": self.namespace}
        self.replica = await self.nursery.start(f"operator-{self.namespace}", **{**own, **self.settings, **settings})
        self.replicas.append(self.replica)
        return self.replica

    @property
    def running(self) -> bool:
        """Whether an operator runs, and none is about to be started again."""
        return not self._restarting and any(replica.alive for replica in self.replicas)

    async def keep_running(self) -> None:
        """What a kubelet does: start the operator again when it has ended by itself, waiting longer each time up to ten seconds."""
        wait = 0.5
        while True:
            await asyncio.sleep(wait)
            if not self._restarting and not any(replica.alive for replica in self.replicas):
                wait = min(wait * 2, 10.0)
                await self.start()

    def crash(self) -> None:
        """SIGKILL the operator now, and start it again as soon as it is gone."""
        victim = self.replica
        if victim is None:
            return
        victim.kill()
        task = asyncio.get_running_loop().create_task(self._again(victim))
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    async def _again(self, victim: Replica) -> None:
        await victim.gone()
        await self.start()

    async def create(self, spec: Change = MINIMAL, name: str = NAME) -> None:
        """Make a pipeline."""
        meta = {"name": name, "namespace": self.namespace}
        await self.client.create({"apiVersion": PIPELINES.api_version, "kind": PIPELINES.kind, "metadata": meta, "spec": spec})

    async def change(self, spec: Change, name: str = NAME) -> None:
        """Merge a change into its spec."""
        await self.client.patch(PIPELINES, self.namespace, name, {"spec": spec})

    async def annotate(self, annotations: Change, name: str = NAME) -> None:
        """Give a verb."""
        await self.client.patch(PIPELINES, self.namespace, name, {"metadata": {"annotations": annotations}})

    async def report(self, resource: Resource, name: str, status: Change) -> None:
        """Merge news into an object's status, as its controller would."""
        path = resource.path(self.namespace, name, "status")
        query = {"fieldManager": "somebody"}
        await self.client._send("PATCH", path, query=query, body={"status": status}, content="application/merge-patch+json")

    async def pipeline(self, name: str = NAME) -> dict[str, Any]:
        """The pipeline as it is."""
        return await self.client.get(PIPELINES, self.namespace, name) or {}

    async def status(self, name: str = NAME) -> dict[str, Any]:
        """Its status."""
        return (await self.pipeline(name)).get("status") or {}

    async def until(
        self, what: str, holds: Callable[[dict[str, Any]], bool], within: float | None = None, name: str = NAME
    ) -> dict[str, Any]:
        """Wait until the pipeline is as it should be, an operator that runs and the world have looked, and nothing is written any more."""
        within = within or self.patience
        deadline = time.monotonic() + within
        while True:
            late = time.monotonic() > deadline  # asked first: whoever stood still meanwhile looks once more
            body = await self.pipeline(name)
            looked = self._first_look(name, exists=bool(body))
            last = max(looked or 0.0, self.proxy.last, self.world.wrote)
            quiet = looked is not None and time.monotonic() - last > self.settled and self.world.has_seen(last)
            if quiet and holds(body) and self.running:
                return body
            if late:
                break
            await asyncio.sleep(0.05)
        status = body.get("status") or {}
        raise AssertionError(f"not {what} within {within} s: {status.get('phase')} {status.get('reason')} {status.get('message')}")

    async def ready(self, within: float | None = None) -> dict[str, Any]:
        """Wait until the spec as it is now serves."""
        return await self.until("Ready", serves, within)

    async def children(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Every object of the namespace that a pipeline has, by kind and name."""
        found = {}
        for resource in CHILDREN:
            for body in await self._listed(resource):
                if resource is not PODS:
                    found[resource.kind, body["metadata"]["name"]] = body
        return found

    async def collected(self, uid: str) -> None:
        """Wait until the cluster's own garbage collector has seen what a pipeline that is gone owned: it may lag behind by seconds."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            left = [body["metadata"] for body in (await self.children()).values() if "deletionTimestamp" not in body["metadata"]]
            if not any(owner["uid"] == uid for meta in left for owner in meta.get("ownerReferences", ())):
                return
            await asyncio.sleep(0.2)

    async def _listed(self, resource: Resource) -> list[dict[str, Any]]:
        try:
            return await self.client.list(resource, self.namespace, labels="ragops.dev/pipeline")
        except errors.NotFound:
            return []

    def made_and_deleted(self) -> tuple[Counter[str], Counter[str]]:
        """How often each object was created and deleted by the operator."""
        writes = [write for write in self.proxy.sent() if write.status in (200, 201)]
        made = Counter(_object(write) for write in writes if write.status == 201)
        return made, Counter(_object(write) for write in writes if write.method == "DELETE")

    def _first_look(self, name: str, *, exists: bool) -> float | None:
        """When an operator that runs first looked at the pipeline: one that only just started is quiet because it has not begun.

        Every pass begins by reading its pipeline. What is gone may have none; then it counts that all kinds were listed, to the last one.
        """
        pipeline, last = PIPELINES.path(self.namespace, name), f"/{WATCHED[-1].plural}"

        def is_look(request: web.Request, by: Replica) -> bool:
            own = request.headers.get("User-Agent", "").endswith(f"({by.identity})")  # kopf lists as well, and works on nothing
            return own and (request.path == pipeline or (not exists and request.path.endswith(last)))

        runs = [replica for replica in self.replicas if replica.alive]
        return next((came for came, request in self.proxy.looks for by in runs if came >= by.since and is_look(request, by)), None)


def serves(body: dict[str, Any]) -> bool:
    """Whether the pipeline is Ready for its present generation, and stable has all the traffic."""
    status = body.get("status") or {}
    settled = status.get("observedGeneration") == body["metadata"]["generation"] and status.get("phase") == "Ready"
    return settled and status.get("traffic") == "100" and not status.get("leaving")


def gone(body: dict[str, Any]) -> bool:
    """Whether there is no such pipeline."""
    return not body


@asynccontextmanager
async def scenario(
    api: Any, nursery: Nursery, directory: Path, name: str, operator: str | None = None, **settings: object
) -> AsyncIterator[Scenario]:
    """A namespace with everything running but the operator; `operator` is the kubeconfig of its user, the administrator's by default."""
    admin = str(api.kubeconfig)
    own = directory / name
    own.mkdir()
    async with (
        _farewell(),
        Client(await load(admin), write_timeout=20) as client,
        World(admin, name) as world,
        Proxy(await load(operator or admin)) as proxy,
    ):
        await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        found = Scenario(name, client, proxy, world, nursery, own, settings=dict(settings))
        proxy.on_crash, proxy.observe = found.crash, found.safety
        try:
            yield found
        finally:
            for replica in found.replicas:
                replica.kill()
            await namespaces.delete(client, name)


@asynccontextmanager
async def _farewell() -> AsyncIterator[None]:
    """A TLS connection that was cut off in mid-answer is closed when its peer has said goodbye, too, which nobody can wait for: aiohttp
    asks for a pause before the loop ends."""
    try:
        yield
    finally:
        await asyncio.sleep(0.1)


Step = Callable[[Scenario], Awaitable[None]]


def _object(write: Write) -> str:
    parts = write.path.split("/")
    if write.method == "POST":
        return f"{parts[-1]}/{write.body.get('metadata', {}).get('name', '')}"
    return "/".join(parts[-2:]) if parts[-1] != "status" else "/".join(parts[-3:])
