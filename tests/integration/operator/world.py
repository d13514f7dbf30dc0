"""What an API server alone lacks: pods that become ready, indexers that index, gateways that acknowledge. It writes only their statuses.

It acts as the kubelet, the workload controllers and the indexers would, on every look, until it is stopped. Gateway pods listen on
addresses of the loopback network, so that the operator can scrape them as in a cluster.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from rag_gateway.epochs import Epochs
from rag_gateway.metrics import Metrics
from rag_operator import errors, names
from rag_operator.kube.access import load
from rag_operator.kube.client import Client
from rag_operator.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    INDEXES,
    JOBS,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    STATEFUL_SETS,
    Resource,
)
from rag_runtime.contracts import pods
from rag_runtime.contracts.routing import TABLE_KEY

_LOOK = 0.05
MANAGER = "rag-indexer"
_addresses = iter(range(2, 65_000))


class World:
    """The rest of a cluster, for one namespace. `stuck`: components that never become ready. Use it as an asynchronous context manager."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self._kubeconfig, self.namespace = kubeconfig, namespace
        self.stuck: set[str] = set()
        self._conditions: dict[str, list[dict[str, Any]]] = {}  # of components
        self.dropped: set[str] = set()  # collections
        self.building = True  # False: builds go on for ever
        self.drop_takes = 0.0  # seconds from the making of its Job
        self._since: dict[str, float] = {}  # Jobs, by UID
        self.paused = False
        self.wrote = 0.0  # when it changed something last (monotonic)
        self._still = 0.0  # when its last look began after which it had nothing to change
        self._gateways: dict[str, _Gateway] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> World:
        self.client = await Client(await load(self._kubeconfig), write_timeout=20).__aenter__()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        ended = []
        if self._task is not None:
            self._task.cancel()
            ended = await asyncio.gather(self._task, return_exceptions=True)
        for gateway in self._gateways.values():
            await gateway.close()
        await self.client.close()
        for defect in ended:
            if isinstance(defect, Exception):
                raise defect  # the world stood still, which explains whatever a test was missing

    def has_seen(self, moment: float) -> bool:
        """Whether it looked at everything since then (monotonic), and found nothing to do."""
        return self.paused or self._still > max(moment, self.wrote)

    def answer(self, revision: str, outcome: str, times: int) -> None:
        """Every gateway answers so many questions by a revision."""
        for gateway in self._gateways.values():
            for _ in range(times):
                gateway.metrics.retrieved(revision, 0.02, 8, preview=False)
                gateway.metrics.finished(revision, "search", outcome, preview=False)

    def refuse_pods(self, component: str, words: str) -> None:
        """The workload controller cannot make pods for a component any more, in the API server's words."""
        self.stuck.add(component)
        refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
        self._conditions[component] = [{**refused, "lastUpdateTime": _now(0), "lastTransitionTime": _now(0)}]

    async def _run(self) -> None:
        while True:
            if not self.paused:
                began = time.monotonic()
                # Deleted or changed meanwhile: the next look settles it.
                with suppress(errors.ApiError):
                    await self._turn()
                    self._still = began if self.wrote < began else self._still
            await asyncio.sleep(_LOOK)

    async def _turn(self) -> None:
        for resource in (DEPLOYMENTS, STATEFUL_SETS):
            for body in await self.client.list(resource, self.namespace):
                await self._workload(resource, body)
        jobs = await self.client.list(JOBS, self.namespace)
        for body in await self.client.list(INDEXES, self.namespace):
            await self._index(body, jobs)
        await self._acknowledge()

    async def _workload(self, resource: Resource, body: dict[str, Any]) -> None:
        component = body["metadata"]["labels"].get(names.LABEL_COMPONENT, "")
        wanted = 0 if component in self.stuck else body["spec"].get("replicas", 1)
        status = {
            "observedGeneration": body["metadata"]["generation"],
            "replicas": body["spec"].get("replicas", 1),
            "readyReplicas": wanted,
            "updatedReplicas": wanted,
            "availableReplicas": wanted,
            "conditions": self._conditions.get(component, []),
        }
        present = body.get("status") or {}
        if any((present.get(key) or 0) != (value or 0) for key, value in status.items()):
            await self._patch_status(resource, body, status)
        if component == names.KIND_GATEWAY:
            await self._gateway_pods(body, wanted)

    async def _index(self, body: dict[str, Any], jobs: Iterable[dict[str, Any]]) -> None:
        work, status = body["spec"]["work"], body.get("status") or {}
        name = body["metadata"]["name"]
        if name in self.stuck:
            return
        new = dict(status)
        job = next((job for job in jobs if job["metadata"]["name"] == f"{name}-{work['mode'].lower()}-{work['attempt']}"), None)
        # A Job that is over runs no more pods: what it did for an index that is gone is not done for the one that came instead.
        runs = job is not None and not _is_over(job) and await self._can_run(job, work["mode"])
        if runs:
            new["acknowledged"] = new["completed"] = work
            if work["mode"] == "Drop":
                self.dropped.add(body["spec"]["collection"])
            else:
                new["build"] = {"documents": 3, "chunks": 9, "total": 3, "startTime": _now(-1), "completionTime": _now(0)}
                new["observed"] = _observed(body)
        elif work["mode"] in ("Sync", "Stop"):
            new["acknowledged"] = work
        if work["mode"] == "Sync" and _is_behind(new):
            listing = {"id": f"listing-{name[-10:]}", "startTime": _now(1), "duration": 0.1}
            sources = [{"name": source["name"], "listing": listing, "documents": 3} for source in body["spec"]["sources"]]
            new["sync"] = {"listing": listing, "sources": sources, "documents": 3, "chunks": 9}
        if new != status and (
            "build" not in status or new.get("build") == status["build"] or new.get("completed") != status.get("completed")
        ):
            await self._patch_status(INDEXES, body, new)
        if job is not None and runs:
            await self._finish(job)

    async def _can_run(self, job: dict[str, Any], mode: str) -> bool:
        """A Job's pods run with an account that may report; builds only while they are let."""
        name = job["spec"]["template"]["spec"]["serviceAccountName"]
        found = [await self.client.get(kind, self.namespace, name) for kind in (SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS)]
        runs = all(found) and "deletionTimestamp" not in job["metadata"]
        since = self._since.setdefault(job["metadata"]["uid"], time.monotonic())
        return runs and (self.building if mode != "Drop" else time.monotonic() - since >= self.drop_takes)

    async def fail(self, job: str, message: str, *, ago: float = 0.0) -> None:
        """A Job has used up its attempts, so many seconds ago."""
        body = await self.client.get(JOBS, self.namespace, job) or {}
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": _now(-ago), "reason": "BackoffLimitExceeded", "message": message}
            for kind in ("FailureTarget", "Failed")
        ]
        began = (body.get("status") or {}).get("startTime") or _now(-ago - 1)  # the server lets nobody change it
        status = {"startTime": began, "failed": 1, "conditions": conditions, "uncountedTerminatedPods": {}}
        await self.say(JOBS, body, status)

    async def _finish(self, job: dict[str, Any]) -> None:
        done = [
            {"type": kind, "status": "True", "lastTransitionTime": _now(0), "reason": "CompletionsReached"}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        status = {"startTime": _now(-1), "completionTime": _now(0), "succeeded": 1, "completedIndexes": "0", "conditions": done}
        await self._patch_status(JOBS, job, status | {"uncountedTerminatedPods": {}})

    async def _gateway_pods(self, deployment: dict[str, Any], wanted: int) -> None:
        labels = deployment["spec"]["selector"]["matchLabels"]
        pipeline = labels[names.LABEL_PIPELINE]
        for number in range(wanted):
            name = f"{deployment['metadata']['name']}-{number}"
            if name not in self._gateways:
                await self._make_pod(name, labels, pipeline)

    async def _make_pod(self, name: str, labels: dict[str, str], pipeline: str) -> None:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "spec": {"containers": [{"name": "gateway", "image": "gateway:1"}], "automountServiceAccountToken": False},
        }
        self.wrote = time.monotonic()
        try:
            made = await self.client.create(pod)
        except errors.Conflict:
            made = await self.client.get(PODS, self.namespace, name) or pod
        gateway = self._gateways[name] = await _listening(pipeline)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": _now(0)}
        await self._patch_status(
            PODS, made, {"phase": "Running", "podIP": gateway.address, "podIPs": [{"ip": gateway.address}], "conditions": [ready]}
        )

    async def _acknowledge(self) -> None:
        for gateway in self._gateways.values():
            table = await self.client.get(CONFIG_MAPS, self.namespace, names.routing_table(gateway.pipeline))
            new = json.loads(table["data"][TABLE_KEY]) if table is not None else gateway.table
            if new != gateway.table:
                gateway.table, self.wrote = new, time.monotonic()

    async def say(self, resource: Resource, body: dict[str, Any], status: dict[str, Any]) -> None:
        """Another controller says this of an object, whatever was written to it since it was read."""
        await self._send_status(resource, body, {"status": status})

    async def _patch_status(self, resource: Resource, body: dict[str, Any], status: dict[str, Any]) -> None:
        await self._send_status(resource, body, {"metadata": {"resourceVersion": body["metadata"]["resourceVersion"]}, "status": status})

    async def _send_status(self, resource: Resource, body: dict[str, Any], change: dict[str, Any]) -> None:
        path = resource.path(self.namespace, body["metadata"]["name"], "status")
        self.wrote = time.monotonic()
        await self.client._send("PATCH", path, query={"fieldManager": MANAGER}, body=change, content="application/merge-patch+json")


class _Gateway:
    """A pod's metrics, a real gateway's: it acknowledges the table's epoch as soon as the world shows it."""

    def __init__(self, address: str, pipeline: str) -> None:
        self.address, self.pipeline = address, pipeline
        self.table: dict[str, Any] = {"epoch": 0}
        self._registry = CollectorRegistry()
        self.metrics = Metrics(cast(Epochs, self), self._registry)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, pods.METRICS_PORT).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def served(self) -> int:
        """The epoch that it answers by."""
        return int(self.table["epoch"])

    oldest_in_use = served

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry))


async def _listening(pipeline: str) -> _Gateway:
    """A gateway at an address that nobody has: other runs on this machine take theirs from the same network."""
    while True:
        number = next(_addresses)
        gateway = _Gateway(f"127.80.{number // 250}.{number % 250 + 1}", pipeline)
        try:
            await gateway.start()
        except OSError:
            await gateway.close()
            continue
        return gateway


def _is_over(job: dict[str, Any]) -> bool:
    return bool((job.get("status") or {}).get("conditions"))


def _is_behind(status: dict[str, Any]) -> bool:
    """Whether the sources were not listed since the build ended."""
    built = (status.get("build") or {}).get("completionTime", "")
    return bool(((status.get("sync") or {}).get("listing") or {}).get("startTime", "") <= built)


def _observed(body: dict[str, Any]) -> dict[str, Any]:
    model = body["spec"]["identity"]["content"]["model"]
    return {"modelFingerprint": f"fingerprint-of-{model}"[:60], "probes": "Equal", "loaded": True, "pendingRows": 0}


def _now(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
