"""Small situations for tests of the planner's parts: revisions from real specs, everything ready unless said otherwise."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.observed import ComponentState, GatewayPod, Observed, TableState
from rag_operator.model.plan import Keep, Plan, Record, Rollout
from rag_operator.model.revision import Revision
from rag_operator.rollout.identity import resolve
from rag_operator.rollout.planner import plan
from rag_operator.rollout.situation import Situation

NOW = 1_000_000.0
HOUR = 3600.0
IMMEDIATE: dict[str, Any] = {"strategy": "Immediate"}
CANARY: dict[str, Any] = {"strategy": "Canary", "canary": {"steps": [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}]}}
EVALUATION: dict[str, Any] = {"questionSet": {"configMapRef": {"name": "questions", "key": "set.jsonl"}}, "minQuestions": 100}


def spec(model: str = "a", policy: dict[str, Any] | None = None, **changes: Any) -> RAGPipelineSpec:
    raw: dict[str, Any] = {
        "sources": [{"name": "docs", "configMap": {"name": "docs"}}],
        "embedder": {
            "local": {
                "model": {"name": f"acme/{model}", "revision": "0" * 40, "source": {"huggingFace": {}}},
                "dimensions": 384,
                "autoscaling": {"minReplicas": 1, "maxReplicas": 8, "targetQueueLength": 64},
            }
        },
        "vectorStore": {
            "milvus": {
                "standalone": {"storage": "10Gi"},
                "shards": changes.pop("shards", 2),
                "index": {"hnsw": {"M": 16, "efConstruction": 200}},
            }
        },
        "rollout": policy or IMMEDIATE,
        **changes,
    }
    return RAGPipelineSpec.model_validate(raw)


@cache
def revision(model: str = "a", shards: int = 2, top_k: int = 8) -> Revision:
    return resolve("handbook", spec(model, shards=shards, retrieval={"topK": top_k}), collection=f"rag_{model}")


A, B = revision("a"), revision("b")


def states(*revisions: Revision, **changes: Any) -> dict[str, ComponentState]:
    """Every component of the revisions, ready; `changes` apply to those of the last one."""
    found: dict[str, ComponentState] = {}
    for item in revisions:
        for part in item.components():
            ready = ComponentState(part.kind, part.name, exists=True, ready=True, ready_replicas=4, desired_replicas=4)
            found[part.name] = replace(ready, **{"built": True, "caught_up": True, **(changes if item is revisions[-1] else {})})
    return found


def observed(*revisions: Revision, weights: dict[str, int] | None = None, **changes: Any) -> Observed:
    weights = {revisions[0].name: 100} if weights is None else weights
    pods = (GatewayPod("gateway-0", ready=True, reachable=True, epoch_served=7, epoch_oldest=7),)
    seen = Observed(
        components=states(*revisions),
        revisions={item.name: item for item in revisions},
        table=TableState(7, weights, "salt"),
        gateways=pods,
    )
    return replace(seen, **changes)


def situation(seen: Observed, wanted: Revision | None = B, policy: dict[str, Any] | None = None, now: float = NOW) -> Situation:
    return Situation(spec("b", policy), wanted, seen, now)


def rollout(phase: Any = "Shifting", **changes: Any) -> Rollout:
    return replace(Rollout(B.name, phase, steps=3, progress_since=NOW), **changes)


def record(**changes: Any) -> Record:
    return replace(Record(stable=A.name, epoch=7), **changes)


def planned(seen: Observed, before: Record, wanted: Revision | None = B, now: float = NOW, **policy: Any) -> Plan:
    """What is planned for a canary, its policy changed."""
    return plan(spec("b", {**CANARY, **policy}), wanted, seen, before, now)


def keeps(result: Plan) -> dict[str, Keep]:
    return {keep.revision: keep for keep in result.keep}
