"""The file that `plan` is about: the first RAGPipeline in it, or one sentence that says what is wrong with it. I/O."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from typer import BadParameter

from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.names import PIPELINE_KIND


def read(file: Path) -> tuple[str, RAGPipelineSpec]:
    """Return name and spec. Raises `BadParameter`, wrong usage, that names the place in the file."""
    for document in _documents(file):
        if isinstance(document, dict) and document.get("kind") == PIPELINE_KIND:
            return _pipeline(document)
    raise BadParameter(f"{file} holds no RAGPipeline")


def _documents(file: Path) -> Iterable[Any]:
    try:
        return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadParameter(f"{file} is not YAML: {error}") from error


def _pipeline(document: dict[str, Any]) -> tuple[str, RAGPipelineSpec]:
    name = (document.get("metadata") or {}).get("name")
    if not name:
        raise BadParameter("metadata.name: Field required")
    try:
        return str(name), RAGPipelineSpec.model_validate(document.get("spec") or {})
    except ValidationError as error:
        lines = (f"spec.{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        raise BadParameter("\n".join(lines)) from error
