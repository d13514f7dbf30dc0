"""Manifests for tests: a base object, and edits by path."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_PART = re.compile(r"[^.\[\]]+|\[\d+\]|'[^']*'")

# As small as an object can be that has every part which a case may want to change.
_BASE = """
apiVersion: ragops.dev/v1alpha1
kind: RAGPipeline
metadata: {name: handbook, namespace: default}
spec:
  sources:
    - {name: docs, s3: {bucket: company-docs}}
  embedder:
    local:
      model: {name: acme/embed, revision: "1.0", source: {image: {reference: "registry.example/models:1.0"}}}
      dimensions: 384
  vectorStore:
    milvus:
      standalone: {storage: 10Gi}
  generator:
    vllm:
      model: {name: acme/llm, revision: "1.0", source: {image: {reference: "registry.example/llm:1.0"}}}
  rollout:
    strategy: Canary
    canary: {steps: [{setWeight: 10}, {pause: {duration: 5m}}, {setWeight: 50}]}
    evaluation: {questionSet: {configMapRef: {name: questions, key: questions.jsonl}}}
    analysis: {margin: 1%}
"""


def base() -> dict[str, Any]:
    """Return a fresh valid pipeline."""
    return dict(yaml.safe_load(_BASE))


def example(name: str) -> dict[str, Any]:
    """Return an example of the repository, in the default namespace."""
    manifest = dict(yaml.safe_load((ROOT / "examples" / name).read_text()))
    manifest["metadata"]["namespace"] = "default"
    return manifest


def edited(manifest: dict[str, Any], edits: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with the values at some paths replaced; `None` removes. Paths are like `spec.sources[0].name`."""
    result = copy.deepcopy(manifest)
    for path, value in edits.items():
        *above, last = [_key(part) for part in _PART.findall(path)]
        target: Any = result
        for key in above:
            target = target[key] if isinstance(key, int) or key in target else target.setdefault(key, {})
        if value is None:
            del target[last]
        elif isinstance(target, list) and last == len(target):
            target.append(value)
        else:
            target[last] = value
    return result


def _key(part: str) -> str | int:
    if part.startswith("["):
        return int(part[1:-1])
    return part.strip("'")
