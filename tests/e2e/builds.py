"""The Job of several pods that fills a candidate's index, and what takes its pods away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cluster.full import Cluster
from e2e.rollouts import Library
from rag_operator import names

BUILDERS = 3
GRACE = 600  # seconds that an evicted pod may take to end; it ends long before


@dataclass(frozen=True)
class Build:
    """The Job that fills the candidate's index."""

    handbook: Library
    index: str

    @property
    def job(self) -> dict[str, Any]:
        label = f"{names.LABEL_KIND}={names.KIND_INDEXER},{names.LABEL_COMPONENT}={self.index}"
        return next(one for one in self.handbook.namespace.listed("jobs", label) if "-build-" in one["metadata"]["name"])

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = (self.handbook.namespace.get("ragindex", self.index).get("status") or {}).get("build") or {}
        return found

    @property
    def attempt(self) -> int:
        """Which Job completed the build."""
        completed = self.handbook.namespace.get("ragindex", self.index)["status"]["completed"]
        assert completed["mode"] == "Build", completed
        return int(completed["attempt"])

    @property
    def collection(self) -> str:
        found: str = self.handbook.namespace.get("ragindex", self.index)["spec"]["collection"]
        return found

    def pods(self) -> list[dict[str, Any]]:
        return self.handbook.namespace.listed("pods", f"batch.kubernetes.io/job-name={self.job['metadata']['name']}")

    def running(self) -> dict[str, str]:
        """Names by uid of the pods whose container runs now."""
        return {one["metadata"]["uid"]: one["metadata"]["name"] for one in self.pods() if _runs(one)}

    def is_without(self, others: set[str]) -> bool:
        """Whether these pods are gone, and every share has another one or is done."""
        left = {one["metadata"]["uid"] for one in self.pods()} & others
        status = self.job["status"]
        return not left and status.get("active", 0) + status.get("succeeded", 0) == BUILDERS

    def until_running(self, others: set[str]) -> dict[str, str]:
        """Wait until all shares are worked on side by side by pods that are none of these."""
        found: dict[str, str] = {}

        def side_by_side() -> bool:
            found.clear()
            found.update(self.running())
            return len(found) == BUILDERS and not found.keys() & others

        self.handbook.until(f"{BUILDERS} build pods side by side", side_by_side, 120)
        return found


def _runs(pod: dict[str, Any]) -> bool:
    containers = pod["status"].get("containerStatuses") or ()
    return "deletionTimestamp" not in pod["metadata"] and any("running" in one["state"] for one in containers)


@contextmanager
def cordoned(cluster: Cluster, node: str) -> Iterator[None]:
    try:
        cluster.kubectl("cordon", node)
        yield
    finally:
        cluster.kubectl("uncordon", node)


def drain(handbook: Library, pods: dict[str, str]) -> None:
    """What `kubectl drain` does, for these pods alone: others share the node, so it is cordoned only until the evictions are accepted."""
    namespace = handbook.namespace
    node = namespace.get("pod", next(iter(pods.values())))["spec"]["nodeName"]
    with cordoned(namespace.cluster, node):
        for name in pods.values():
            meta = {"name": name, "namespace": namespace.name}
            options = {"gracePeriodSeconds": GRACE}
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta, "deleteOptions": options}
            where = f"/api/v1/namespaces/{namespace.name}/pods/{name}/eviction"
            namespace.kubectl("create", "--raw", where, "-f", "-", stdin=json.dumps(eviction))
