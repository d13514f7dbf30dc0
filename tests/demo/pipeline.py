"""The demo's pipeline as the cluster shows it, and the three models that the demo gives it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demo.place import NAMESPACE, PIPELINE
from demo.terminal import Terminal

EXAMPLE = Path(__file__).parents[2] / "examples/demo.yaml"


@dataclass(frozen=True)
class Model:
    """An embedding model of the story. All three are derived from the weights of all-MiniLM-L6-v2."""

    title: str
    name: str
    path: str  # inside the models image
    dimensions: int


STATIC = Model("a static model, the mean of MiniLM's token embeddings", "ragops/static-minilm", "static", 384)
MINILM = Model("all-MiniLM-L6-v2 itself", "sentence-transformers/all-MiniLM-L6-v2", "minilm", 384)
SHORT = Model("all-MiniLM-L6-v2 cut to 32 dimensions", "sentence-transformers/all-MiniLM-L6-v2", "minilm", 32)


def manifest(model: Model, s3_endpoint: str) -> str:
    """examples/demo.yaml with `model` in it, as YAML."""
    document: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    document["spec"]["sources"][0]["s3"]["endpoint"] = s3_endpoint
    local = document["spec"]["embedder"]["local"]
    local["dimensions"] = model.dimensions
    local["model"]["name"] = model.name
    local["model"]["source"]["image"]["path"] = model.path
    return yaml.safe_dump(document, sort_keys=False)


@dataclass(frozen=True)
class Pipeline:
    """Reads the pipeline's status through kubectl."""

    terminal: Terminal

    def status(self) -> dict[str, Any]:
        """`status` of the RAGPipeline, or an empty dict."""
        text = self.terminal.run(f"kubectl -n {NAMESPACE} get ragp {PIPELINE} -o json --ignore-not-found", show=False)
        found: dict[str, Any] = json.loads(text).get("status", {}) if text else {}
        return found

    def generation_seen(self) -> bool:
        """Whether the status is about the present spec."""
        text = self.terminal.run(f"kubectl -n {NAMESPACE} get ragp {PIPELINE} -o json", show=False)
        document = json.loads(text)
        return bool(document.get("status", {}).get("observedGeneration") == document["metadata"]["generation"])

    def ready(self) -> dict[str, Any] | None:
        """The status once phase is Ready and about the present spec, else `None`."""
        status = self.status()
        return status if status.get("phase") == "Ready" and self.generation_seen() else None

    def stable(self) -> str:
        """Name of the stable revision, or an empty string."""
        return str((self.status().get("stable") or {}).get("revision", ""))

    def last_decision(self) -> dict[str, Any]:
        """The newest decision in the status history."""
        decisions = self.status().get("decisions") or [{}]
        return dict(decisions[0])

    def index_status(self, index: str) -> dict[str, Any]:
        """`status` of a RAGIndex."""
        text = self.terminal.run(f"kubectl -n {NAMESPACE} get ragi {index} -o json --ignore-not-found", show=False)
        return json.loads(text).get("status", {}) if text else {}

    def embedder_replicas(self, embedder: str) -> int:
        """Ready replicas of an embedder's Deployment."""
        text = self.terminal.run(
            f"kubectl -n {NAMESPACE} get deployment {embedder} -o jsonpath='{{.status.readyReplicas}}' --ignore-not-found", show=False
        )
        return int(text or 0)
