"""What a random spec needs to be right beyond its schema: fields that must agree with each other are made to."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from rag_operator.api.v1alpha1.models import MOVING_REVISIONS
from rag_operator.api.v1alpha1.pod import DENIED_ENV_NAMES, DENIED_ENV_PREFIXES

Mend = Callable[[dict[str, Any]], None]


def seconds(text: str) -> float:
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h)", text))


def mended(spec: dict[str, Any]) -> dict[str, Any]:
    return mended_but(spec, None)


def mended_but(spec: dict[str, Any], left_out: Mend | None) -> dict[str, Any]:
    found = copy.deepcopy(spec)
    _mend(found, [mend for mend in MENDS if mend is not left_out])
    return found


def _mend(found: Any, mends: list[Mend]) -> None:
    """Make fields of one object agree with each other, wherever the object is."""
    if isinstance(found, list):
        for item in found:
            _mend(item, mends)
    if not isinstance(found, dict):
        return
    for below in found.values():
        _mend(below, mends)
    for mend in mends:
        mend(found)


def _mend_replicas(found: dict[str, Any]) -> None:
    if {"replicas", "autoscaling"} <= found.keys():
        del found["replicas"]
    if "targetQueueLength" in found:
        found["minReplicas"] = min(found.get("minReplicas", 1), found["maxReplicas"])


def _mend_times(found: dict[str, Any]) -> None:
    if "maxStaleness" in found and seconds(found["maxStaleness"]) < seconds(found.get("syncInterval", "5m")):
        del found["maxStaleness"]


def _mend_chunks(found: dict[str, Any]) -> None:
    # By its place: the settings of a generator have a maxTokens, too.
    chunking = found.get("chunking", {})
    if "overlapTokens" in chunking or "maxTokens" in chunking:
        chunking["overlapTokens"] = min(chunking.get("overlapTokens", 32), chunking.get("maxTokens", 240) - 1)


def _mend_models(found: dict[str, Any]) -> None:
    if {"name", "revision", "source"} <= found.keys():
        if found["revision"] in MOVING_REVISIONS or "huggingFace" in found["source"]:
            found["revision"] = "0123456789abcdef" * 2 + "01234567"
        if found["source"].get("image", {}).get("reference", "").endswith(":latest"):
            found["source"]["image"]["reference"] = "registry.example/models:1"
    elif found.get("revision") in MOVING_REVISIONS:
        found["revision"] = "1"
    if str(found.get("image", "")).endswith(":latest"):
        found["image"] = "registry.example/image:1"


def _mend_pods(found: dict[str, Any]) -> None:
    for variable in found.get("env", ()):
        if variable["name"] in DENIED_ENV_NAMES or variable["name"].startswith(DENIED_ENV_PREFIXES):
            variable["name"] = f"X_{variable['name']}"
    if "operator" in found and "key" in found and "values" not in found and found["operator"] in ("Exists", "Equal"):
        if found["operator"] == "Exists":
            found.pop("value", None)
    elif "operator" in found and found["operator"] in ("Exists", "DoesNotExist") and "key" in found:
        found.pop("values", None)
    elif found.get("operator") in ("In", "NotIn", "Gt", "Lt"):
        found["values"] = found.get("values") or ["1"]
    elif "effect" in found or "tolerationSeconds" in found or "value" in found:
        found.setdefault("key", "gpu") if "name" not in found else None
    for kind in ("annotations", "labels"):
        reserved = [key for key in found.get(kind, ()) if key.startswith(("ragops.dev/", "app.kubernetes.io/"))]
        for key in reserved:
            del found[kind][key]


def _mend_paths(found: dict[str, Any]) -> None:
    for name in ("path", "prefix"):
        if name in found and "host" not in found and (found[name].startswith("/") or ".." in found[name].split("/")):
            found[name] = "docs"


def _mend_rollout(found: dict[str, Any]) -> None:
    if "steps" in found and "strategy" not in found:
        weights = sorted(step["setWeight"] for step in found["steps"] if "setWeight" in step)
        pauses = [step for step in found["steps"] if "pause" in step]
        found["steps"] = [*pauses, *({"setWeight": weight} for weight in weights or [10])][:32]
    if found.get("strategy", "BlueGreen") in ("BlueGreen", "Immediate") and "canary" in found:
        found["strategy"] = "Canary"
    if found.get("strategy") == "Canary" and "canary" not in found:
        found["canary"] = {"steps": [{"setWeight": 10}]}
    if found.get("strategy", "BlueGreen") != "BlueGreen":
        found.pop("blueGreen", None)


def _mend_gates(found: dict[str, Any]) -> None:
    if "questionSet" in found:
        found.pop("margin" if found.get("mode") == "Superior" else "minImprovement", None)
    if "analysis" in found and isinstance(found["analysis"], dict):
        found["analysis"].setdefault("margin", "1%")
    if "turns" in found:
        found["mode"] = "LastTurns"


def _mend_store(found: dict[str, Any]) -> None:
    milvus = found.get("milvus")
    if milvus is None:
        return
    milvus["replicas"] = 1
    kind = next((key for key in milvus.get("index", {"hnsw": {}}) if key != "metric"), "hnsw")
    kept = {"hnsw": "ef", "flat": None}.get(kind, "nprobe")
    milvus["search"] = {key: value for key, value in milvus.get("search", {}).items() if key == kept}
    if milvus["search"].get("ef", 100) < 100:
        milvus["search"]["ef"] += 100


def _mend_generator(found: dict[str, Any]) -> None:
    sampling = found.get("sampling", {})
    member = found.get("vllm") or found.get("external")
    if isinstance(member, dict) and ("maxModelLen" in member or sampling):
        sampling["maxTokens"] = min(sampling.get("maxTokens", 512), member.get("maxModelLen", 8192) - 1)
        found["sampling"] = sampling


def _mend_clients(found: dict[str, Any]) -> None:
    for client in found.get("clients", ()):
        if "cidr" in client:
            client.pop("namespaceSelector", None)
            client.pop("podSelector", None)
        elif not client:
            client["podSelector"] = {}


def _mend_whole(found: dict[str, Any]) -> None:
    if not {"embedder", "vectorStore"} <= found.keys():
        return
    embedder = found["embedder"].get("local") or found["embedder"]["external"]
    quantiser = found["vectorStore"]["milvus"].get("index", {}).get("ivfPq")
    if quantiser is not None and embedder["dimensions"] % quantiser["m"]:
        quantiser["m"] = 1
    external = found["embedder"].get("external")
    if external is not None:
        longest = found.get("documents", {}).get("chunking", {}).get("maxTokens", 240)
        external["maxInputTokens"] = max(external.get("maxInputTokens", 512), longest + 1)


MENDS: tuple[Mend, ...] = (
    _mend_replicas,
    _mend_times,
    _mend_chunks,
    _mend_models,
    _mend_pods,
    _mend_paths,
    _mend_rollout,
    _mend_gates,
    _mend_store,
    _mend_generator,
    _mend_clients,
    _mend_whole,
)
