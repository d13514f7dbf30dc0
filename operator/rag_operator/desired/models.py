"""Model weights: mounted from an image or a volume, or downloaded from a hub into a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rag_operator.api.v1alpha1.models import ModelCache, ModelRef
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_operator.desired.meta import metadata
from rag_operator.desired.pods import Volume, scratch
from rag_runtime.contracts import pods as contract


@dataclass(frozen=True)
class Weights:
    """Where a container finds its model, and what it needs for that."""

    location: str  # a directory, or a hub id
    volumes: tuple[Volume, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def weights(owner: Owner, kind: str, model: ModelRef, cache: ModelCache | None, surroundings: Surroundings) -> Weights:
    """How a container of `kind` gets at the weights of `model`."""
    scratch_volumes = (_cache_volume(owner, kind, cache), scratch("tmp", "/tmp"))
    environment = {"HF_HOME": contract.MODEL_CACHE_DIR, "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    hub = model.source.hugging_face
    if hub is None:
        volume, path = _mounted(model, surroundings)
        return Weights(_below(path), (volume, *scratch_volumes), {**environment, "HF_HUB_OFFLINE": "1"})
    endpoint = {"HF_ENDPOINT": hub.endpoint} if hub.endpoint else {}
    token = hub.token_secret_ref
    references = {"HF_TOKEN": {"secretKeyRef": {"name": token.name, "key": token.key}}} if token else {}
    return Weights(model.name, scratch_volumes, {**environment, **endpoint}, references)


def cache_claim(owner: Owner, kind: str, cache: ModelCache | None) -> Manifest | None:
    """The claim behind a cache that outlives pods; shared by all components of a kind, so that a rollout finds what is there."""
    if cache is None:
        return None
    spec: Manifest = {"accessModes": [cache.access_mode], "resources": {"requests": {"storage": str.__str__(cache.size)}}}
    if cache.storage_class_name:
        spec["storageClassName"] = cache.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(owner, _claim_name(owner, kind, cache), kind),
        "spec": spec,
    }


def _claim_name(owner: Owner, kind: str, cache: ModelCache) -> str:
    # Class and access mode of a claim cannot change, so another choice is another claim.
    fixed = hashlib.sha256(f"{cache.storage_class_name or ''}/{cache.access_mode}".encode()).hexdigest()[:6]
    return f"{owner.name}-{kind}-cache-{fixed}"


def _cache_volume(owner: Owner, kind: str, cache: ModelCache | None) -> Volume:
    if cache is None:
        return scratch("cache", contract.MODEL_CACHE_DIR)
    return Volume("cache", {"persistentVolumeClaim": {"claimName": _claim_name(owner, kind, cache)}}, contract.MODEL_CACHE_DIR)


def _mounted(model: ModelRef, surroundings: Surroundings) -> tuple[Volume, str]:
    image, claim = model.source.image, model.source.pvc
    if image is not None:
        source: Manifest = {"image": {"reference": image.reference, "pullPolicy": surroundings.image_pull_policy}}
        return Volume("model", source, contract.MODEL_DIR, read_only=True), image.path
    if claim is None:
        raise ValueError("a model comes from a hub, an image or a volume")
    source = {"persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": True}}
    return Volume("model", source, contract.MODEL_DIR, read_only=True), claim.path


def _below(path: str) -> str:
    return f"{contract.MODEL_DIR}/{path.strip('/')}".rstrip("/")
