"""Specs of the simulated pipeline, by the letter its revisions are called in the stories."""

from __future__ import annotations

from functools import cache
from typing import Any

from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.revision import Revision
from rag_operator.rollout.identity import resolve

PIPELINE = "handbook"

# What differs from the first revision, A.
MODELS = {
    "A": {"name": "acme/static", "dimensions": 384},
    "B": {"name": "acme/minilm", "dimensions": 384},
    "C": {"name": "acme/minilm", "dimensions": 32},
}
LETTERS = ("A", "B", "C", "S", "Q", "W")  # S: A with more shards, Q: A with more passages, W: A with weights from elsewhere

CANARY = {
    "strategy": "Canary",
    "canary": {"steps": [{"setWeight": 5}, {"pause": {"duration": "10m"}}, {"setWeight": 50}]},
}
APPROVED = {
    "strategy": "Canary",
    "canary": {"steps": [{"setWeight": 20}, {"pause": {}}]},
}
HALF = {
    "strategy": "Canary",
    "canary": {"steps": [{"setWeight": 50}, {"pause": {}}]},
}
BLUE_GREEN = {"strategy": "BlueGreen"}
BLUE_GREEN_APPROVED = {"strategy": "BlueGreen", "blueGreen": {"autoPromote": False}}
IMMEDIATE = {"strategy": "Immediate"}
COLD = {"rollback": {"window": "24h", "mode": "Cold"}}
EVALUATION = {"evaluation": {"questionSet": {"configMapRef": {"name": "questions", "key": "set.jsonl"}}, "minQuestions": 100}}
ANALYSIS = {"analysis": {"minRequests": 200, "margin": "1%", "maxDuration": "10m"}}


def spec(letter: str, policy: dict[str, Any], *, suspend: bool = False) -> RAGPipelineSpec:
    """Return the spec that asks for a revision."""
    model = MODELS.get(letter, MODELS["A"])
    source: dict[str, Any] = {"image": {"reference": "registry.example.com/static:2"}} if letter == "W" else {"huggingFace": {}}
    raw: dict[str, Any] = {
        "sources": [{"name": "docs", "configMap": {"name": "docs"}}],
        "embedder": {
            "local": {
                "model": {"name": model["name"], "revision": "0" * 40, "source": source},
                "dimensions": model["dimensions"],
                "autoscaling": {"minReplicas": 1, "maxReplicas": 8, "targetQueueLength": 64},
            }
        },
        "vectorStore": {
            "milvus": {
                "standalone": {"storage": "10Gi"},
                "shards": 4 if letter == "S" else 2,
                "index": {"hnsw": {"M": 16, "efConstruction": 200}},
            }
        },
        "retrieval": {"topK": 20 if letter == "Q" else 8},
        "rollout": {"abortDelay": "5m", "progressDeadline": "1h", "rollback": {"window": "24h"}, **policy},
        "suspend": suspend,
    }
    return RAGPipelineSpec.model_validate(raw)


@cache
def revision(letter: str, reindex: str = "") -> Revision:
    """Return the revision of a letter; its collection's name is chosen when it is recorded."""
    return resolve(PIPELINE, spec(letter, IMMEDIATE), reindex=reindex)


def letters() -> dict[str, str]:
    """Return the letter of each revision and component, for reading logs."""
    found: dict[str, str] = {}
    for letter in LETTERS:
        own = revision(letter)
        found.setdefault(own.name, letter)
        for part in own.components():
            found.setdefault(part.name, f"{letter}-{part.kind}")
    return found
