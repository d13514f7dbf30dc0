"""The file that `plan` is about: the first RAGPipeline in it, or one sentence that says what is wrong with it. I/O."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError
from typer import BadParameter

from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.names import PIPELINE_KIND


class Manifest(NamedTuple):
    """A pipeline as a file has it. `namespace` is `None` where the file leaves that open."""

    name: str
    namespace: str | None
    spec: RAGPipelineSpec

    def applied_in(self, asked: str | None) -> str | None:
        """Where `kubectl apply` would put it. Raises `BadParameter` where that refuses, because the file says something else."""
        if None not in (asked, self.namespace) and asked != self.namespace:
            raise BadParameter(f"the file says namespace {self.namespace}, --namespace says {asked}")
        return asked or self.namespace


def read(file: Path) -> Manifest:
    """Return the pipeline. Raises `BadParameter`, wrong usage, that names the place in the file."""
    for document in _documents(file):
        if isinstance(document, dict) and document.get("kind") == PIPELINE_KIND:
            return _pipeline(document)
    raise BadParameter(f"{file} holds no RAGPipeline")


def _documents(file: Path) -> Iterable[Any]:
    try:
        return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadParameter(f"{file} is not YAML: {error}") from error


def _pipeline(document: dict[str, Any]) -> Manifest:
    meta = document.get("metadata") or {}
    if not meta.get("name"):
        raise BadParameter("metadata.name: Field required")
    try:
        return Manifest(str(meta["name"]), meta.get("namespace"), RAGPipelineSpec.model_validate(document.get("spec") or {}))
    except ValidationError as error:
        lines = (f"spec.{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        raise BadParameter("\n".join(lines)) from error
