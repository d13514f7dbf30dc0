"""Bringing children to their intent, with a write only where one is needed.

An apply is skipped when the child carries the intent's hash, is controlled by its pipeline, and every field of the intent is still
ours (`fields.lost`). So nothing is written at rest, and an edit of our fields by anybody is seen without comparing values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from rag_operator import errors, names
from rag_operator.kube import fields
from rag_operator.kube.child import Child, controller
from rag_operator.kube.client import Client, Object
from rag_operator.kube.resources import of

# Holds `replicas` while they pass from us to an autoscaler: a field that nobody owns would fall back to its default.
HANDOVER_MANAGER = f"{names.FIELD_MANAGER}-handover"
CREATE_ONLY = frozenset({"Job", "ControllerRevision"})  # what they are made of cannot change
_INTENT_LENGTH = 16


def stamped(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with its own hash as an annotation."""
    digest = hashlib.sha256(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_INTENT_LENGTH]
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), names.ANNOTATION_INTENT: digest}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def difference(manifest: Mapping[str, Any], child: Child | None) -> str | None:
    """Why a stamped manifest must be applied, naming the first difference; `None` when it need not."""
    if child is None:
        return "missing"
    if child.kind in CREATE_ONLY:
        return None
    if child.intent != manifest["metadata"]["annotations"][names.ANNOTATION_INTENT]:
        return "intent"
    if child.owner != controller(manifest["metadata"]):
        return "metadata.ownerReferences"
    return fields.lost(manifest, child.ours)


async def bring(client: Client, manifest: Mapping[str, Any], child: Child | None) -> Object | None:
    """Write a stamped manifest if it must be; what the server answered, or `None` when nothing was sent."""
    if difference(manifest, child) is None:
        return None
    if manifest["kind"] in CREATE_ONLY:
        return await _create(client, manifest)
    if child is not None and _gives_up_replicas(manifest, child):
        await client.apply(_replicas_alone(manifest, child), manager=HANDOVER_MANAGER)
    try:
        return await client.apply(manifest)
    except errors.Invalid:
        if manifest["kind"] != "Service" or child is None:
            raise
        return await _replace_ports(client, manifest)


async def _create(client: Client, manifest: Mapping[str, Any]) -> Object | None:
    meta = manifest["metadata"]
    try:
        return await client.create(manifest)
    except errors.Conflict as error:
        found = await client.get(of(manifest), meta.get("namespace"), meta["name"])
        if found is not None and controller(found["metadata"]) == controller(meta):
            return found  # ours, from a pass that died before it heard the answer
        if found is not None and names.LABEL_PIPELINE not in (found["metadata"].get("labels") or {}):
            # Nor is it of a pipeline that was deleted, which goes by itself: waiting would be waiting for ever, without a word.
            message = f"failed to make {manifest['kind']} {meta['name']}: somebody else's has that name"
            raise errors.Invalid(message, status=409) from error
        raise


def _gives_up_replicas(manifest: Mapping[str, Any], child: Child) -> bool:
    owned = "f:replicas" in child.ours.get("f:spec", {})
    return owned and child.replicas is not None and "replicas" not in manifest.get("spec", {})


def _replicas_alone(manifest: Mapping[str, Any], child: Child) -> dict[str, Any]:
    # Never none: an autoscaler takes its target's zero for "switched off" and would leave what is woken asleep.
    replicas = max(1, child.replicas or 0)
    metadata = {key: manifest["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata, "spec": {"replicas": replicas}}


async def _replace_ports(client: Client, manifest: Mapping[str, Any]) -> Object:
    """Server-side apply merges a Service's ports by number, so it cannot take back one that somebody renumbered."""
    meta = manifest["metadata"]
    found = await client.get(of(manifest), meta["namespace"], meta["name"])
    if found is None:
        return await client.apply(manifest)
    found["spec"]["ports"] = manifest["spec"]["ports"]
    await client.replace(found)
    return await client.apply(manifest)
