"""Writes of a pass: every answer goes into the mirror, so that the next pass does not act on an older view than its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from rag_operator import errors, metrics, names
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.kube import apply, resources
from rag_operator.kube.child import Child, Children
from rag_operator.kube.client import Client, Object
from rag_operator.kube.resources import CONTROLLER_REVISIONS, INDEXES, PIPELINES, Resource

log = logging.getLogger(__name__)

# What may be removed when no manifest asks for it any more. Components leave by collection alone; claims and Secrets never.
_PRUNED: Final = frozenset(
    {
        "HorizontalPodAutoscaler",
        "Ingress",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    }
)
_AUTOSCALER: Final = "HorizontalPodAutoscaler"
_COMPONENTS: Final = frozenset({names.KIND_EMBEDDER, names.KIND_GENERATOR, names.KIND_INDEX})
_KNOWN_BY: Final = frozenset({"Deployment", "RAGIndex"})
# Refusals of one object that say nothing about the others.
_OWN_FAULT: Final = (errors.Invalid, errors.Forbidden, errors.NotFound)
_INTERNAL_ERROR: Final = 500  # what an admission webhook that cannot be reached makes of one object


class Writer:
    """Applies, creates and deletes children of one pipeline."""

    def __init__(self, client: Client, mirror: Mirror) -> None:
        self._client, self._mirror = client, mirror

    async def bring(self, manifests: Iterable[Mapping[str, Any]], children: Children) -> errors.ApiError | None:
        """Bring every manifest about, in order. A refused one does not hold back the others; returns the first refusal."""
        refused: errors.ApiError | None = None
        for manifest in manifests:
            try:
                await self.bring_one(manifest, children)
            except errors.ApiError as error:
                if not _is_its_own(error):
                    raise
                refused = refused or error
        return refused

    async def bring_one(self, manifest: Mapping[str, Any], children: Children) -> None:
        """Bring one manifest about, if it is not so already."""
        child = children.get((manifest["kind"], manifest["metadata"]["name"]))
        if _cools(manifest) or (child is not None and manifest["kind"] == _AUTOSCALER):
            # One who was told late that he no longer leads must not take an index out of memory that answers again, nor lower a size.
            await self.bring_at(manifest, children)
            return
        stamped = apply.stamped(manifest)
        why = apply.difference(stamped, child)
        if why is None:
            return
        log.info("applying", extra={"kind": manifest["kind"], "object": manifest["metadata"]["name"], "why": why})
        self._learn(resources.of(manifest), await apply.bring(self._client, stamped, child))

    async def bring_at(self, manifest: Mapping[str, Any], children: Children) -> None:
        """Bring a manifest about, but only onto the version that was seen. Raises `Conflict` when it moved on."""
        stamped = apply.stamped(manifest)
        child = children.get((manifest["kind"], manifest["metadata"]["name"]))
        why = apply.difference(stamped, child)
        if why is None:
            return
        log.info("applying", extra={"kind": manifest["kind"], "object": manifest["metadata"]["name"], "why": why})
        if child is None:
            await self._make_first(stamped)
            return
        exact = {**stamped, "metadata": {**stamped["metadata"], "resourceVersion": str(child.version)}}
        self._learn(resources.of(manifest), await self._client.apply(exact))

    async def _make_first(self, stamped: Mapping[str, Any]) -> None:
        resource, meta = resources.of(stamped), stamped["metadata"]
        found = await self._client.get(resource, meta["namespace"], meta["name"])
        if found is not None:
            self._mirror.put(resource, found)
            raise errors.Conflict(f"failed to make {meta['name']}: it exists, and was not seen yet", status=409)
        self._learn(resource, await self._client.apply(stamped))

    async def amend(self, child: Child, metadata: Mapping[str, Any]) -> None:
        """Change the metadata of a recorded revision, whose data cannot change."""
        change = {"metadata": {**metadata, "uid": child.uid}}
        found = await self._client.patch(CONTROLLER_REVISIONS, child.namespace, child.name, change)
        self._learn(CONTROLLER_REVISIONS, found)

    async def delete(self, child: Child, why: str) -> None:
        """Delete exactly this child as it was seen. Raises `Conflict` when it changed since: the next pass decides again."""
        self._note_deletion(child, why)
        await self._client.delete(_resource(child.kind), child.namespace, child.name, uid=child.uid, version=str(child.version))

    async def clear(self, child: Child, why: str) -> None:
        """Delete a Job or what was made for it, however it changes: what it still reports is nobody's business any more."""
        self._note_deletion(child, why)
        await self._client.delete(_resource(child.kind), child.namespace, child.name, uid=child.uid)

    async def stop(self, child: Child, why: str) -> None:
        """Delete a workload of a pipeline that is deleted, however it changes; it stays to be seen until its pods have ended."""
        self._note_deletion(child, why)
        await self._client.delete(_resource(child.kind), child.namespace, child.name, uid=child.uid, propagation="Foreground")

    async def is_terminating(self, namespace: str) -> bool:
        """Whether the namespace is being deleted."""
        return await self._client.is_terminating(namespace)

    async def change_index(self, child: Child, spec: Mapping[str, Any]) -> None:
        """Merge a change into the spec of an index as it was seen."""
        metrics.WRITES.labels(INDEXES.kind).inc()
        change = {"metadata": {"resourceVersion": str(child.version)}, "spec": dict(spec)}
        self._mirror.put(INDEXES, await self._client.patch(INDEXES, child.namespace, child.name, change))

    async def release_indexes(self, key: Key) -> None:
        """Let go of the indexes under a pipeline's name that somebody deleted and whose data nobody has to wait for."""
        for child in self._mirror.children(key).values():
            if child.kind == INDEXES.kind and child.deleting:
                await self._release(child)

    async def _release(self, child: Child) -> None:
        found = await self._client.get(INDEXES, child.namespace, child.name)
        meta = found["metadata"] if found is not None else {}
        if meta.get("uid") != child.uid or names.FINALIZER not in meta.get("finalizers", ()):
            return
        kept = [one for one in meta["finalizers"] if one != names.FINALIZER]
        metrics.WRITES.labels(INDEXES.kind).inc()
        # With the version, so that a finalizer that somebody added meanwhile is not lost.
        change = {"metadata": {"finalizers": kept, "resourceVersion": meta["resourceVersion"]}}
        await self._client.patch(INDEXES, child.namespace, child.name, change)

    async def prune(self, manifests: Iterable[Mapping[str, Any]], children: Children, uid: str) -> None:
        """Delete what this pipeline controls and no manifest asks for any more."""
        wanted = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
        for (kind, name), child in children.items():
            if (kind, name) in wanted or child.owner != uid or child.deleting or not _prunable(child):
                continue
            await self.delete(child, "no longer wanted")

    async def remove(self, children: Children, uid: str, why: str, doomed: Callable[[Child], bool]) -> None:
        """Delete the children of this pipeline for which `doomed` holds. What a component is known by goes last: then all of it is gone."""
        found = [child for child in children.values() if child.owner == uid and not child.deleting and doomed(child)]
        for child in sorted(found, key=lambda child: child.kind in _KNOWN_BY):
            await self.delete(child, why)

    async def write_status(self, resource: Resource, manifest: Mapping[str, Any]) -> Object:
        """Apply a status."""
        metrics.WRITES.labels(f"{resource.kind}/status").inc()
        found = await self._client.apply(manifest, subresource="status")
        self._mirror.answered(resource, found, spec=False)
        return found

    async def write_pipeline(self, key: tuple[str, str], change: Mapping[str, Any]) -> Object:
        """Merge a change into the pipeline's own metadata."""
        metrics.WRITES.labels(PIPELINES.kind).inc()
        return await self._client.patch(PIPELINES, *key, change)

    def _note_deletion(self, child: Child, why: str) -> None:
        log.info("deleting", extra={"kind": child.kind, "object": child.name, "why": why})
        metrics.WRITES.labels(child.kind).inc()

    def _learn(self, resource: Resource, found: Object | None) -> None:
        if found is not None:
            metrics.WRITES.labels(resource.kind).inc()
            self._mirror.answered(resource, found, spec=True)


def _is_its_own(error: errors.ApiError) -> bool:
    return isinstance(error, _OWN_FAULT) or error.status == _INTERNAL_ERROR


def _cools(manifest: Mapping[str, Any]) -> bool:
    return bool(manifest["kind"] == INDEXES.kind and manifest["spec"]["work"].get("coldUntil"))


def _prunable(child: Child) -> bool:
    return child.kind in _PRUNED and (child.labels.get(names.LABEL_KIND) not in _COMPONENTS or child.kind == _AUTOSCALER)


def _resource(kind: str) -> Resource:
    return next(resource for resource in resources.CHILDREN if resource.kind == kind)
