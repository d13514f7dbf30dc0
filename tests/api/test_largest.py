"""An object nearly as large as etcd takes (1.5 MB), with every list full, stays inside the API server's budget for rules."""

from __future__ import annotations

import json
from typing import Any

from api.client import ApiClient
from api.manifests import base, edited

_LONG = "x" * 200


def pod() -> dict[str, Any]:
    labels = {f"team.example.com/label-{number}": "v" * 63 for number in range(32)}
    expression = {"key": "a" * 300, "operator": "In", "values": ["v" * 63] * 32}
    term = {"labelSelector": {"matchLabels": labels, "matchExpressions": [expression] * 8}, "topologyKey": "t" * 300}
    terms = {
        "requiredDuringSchedulingIgnoredDuringExecution": [term] * 2,
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}] * 2,
    }
    return {
        "env": [{"name": f"VARIABLE_{number}_{_LONG}"[:128], "value": _LONG} for number in range(64)],
        "labels": labels,
        "annotations": dict.fromkeys(labels, _LONG),
        "nodeSelector": labels,
        "tolerations": [{"key": "k" * 300, "value": "v" * 63} for _ in range(16)],
        "affinity": {"podAffinity": terms, "podAntiAffinity": terms},
    }


def largest() -> dict[str, Any]:
    sources = [
        {
            "name": f"source-{number}",
            "git": {"url": f"https://git.example/{_LONG * 9}", "path": "p/" * 500},
            "include": ["**/" * 20] * 32,
            "exclude": ["**/" * 20] * 32,
            "syncInterval": "1h1m1s1ms",
            "maxStaleness": "20h1m1s1ms",
        }
        for number in range(32)
    ]
    vllm = {
        "spec.generator.vllm.extraArgs": [f"--quantization={'q' * 490}"] * 64,
        "spec.generator.vllm.image": f"registry.example/{'i' * 480}:1",
        "spec.generator.vllm.pod": pod(),
    }
    return edited(
        base(),
        {
            **vllm,
            "spec.sources": sources,
            "spec.documents.metadata": [{"name": f"field{n}", "from": {"pathPattern": f"({'p' * 240})"}} for n in range(32)],
            "spec.embedder.local.pod": pod(),
            "spec.embedder.local.documentPrefix": "d" * 4096,
            "spec.gateway.pod": pod(),
            "spec.gateway.clients": [{"podSelector": {"matchLabels": {"a": "b"}}} for _ in range(31)] + [{"cidr": "10.0.0.0/8"}],
            "spec.indexer.pod": pod(),
            "spec.vectorStore.milvus.standalone.pod": pod(),
            "spec.rollout.canary.steps": [{"setWeight": n + 1} for n in range(32)],
        },
    )


def test_an_object_with_every_list_full_is_accepted_and_can_be_changed(kube: ApiClient) -> None:
    manifest = largest()
    assert len(json.dumps(manifest)) > 500_000
    answer = kube.create(manifest, dry_run=False)
    assert answer.accepted, answer.message
    changed = kube.update(edited(answer.body, {"spec.suspend": True}))
    kube.delete(manifest)
    assert changed.accepted, changed.message
