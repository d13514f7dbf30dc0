"""The kind `RAGPipeline`."""

from __future__ import annotations

from typing import Any, ClassVar

from rag_operator.api.base import Model
from rag_operator.api.rules import Rule
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.status import RAGPipelineStatus

# The longest name is that of the last pod of a Job, <pipeline>-index-<10 hex>-build-<attempt>-<index>, which must fit a label: attempts
# have up to six digits, pods of one build up to two.
MAX_NAME_LENGTH = 30


class RAGPipeline(Model):
    """Retrieval-augmented generation over documents: sources, embedder, vector store, generator, and how changes are rolled out."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"oldSelf.hasValue() || (self.metadata.name.size() <= {MAX_NAME_LENGTH} && "
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$'))",
            f"metadata.name must be a DNS label (letters, digits and dashes, a letter first) of at most {MAX_NAME_LENGTH} "
            "characters, because the names of children are made from it",
            lambda self: True,
            optional_old_self=True,
        ),
    )

    api_version: str = "ragops.dev/v1alpha1"
    """ragops.dev/v1alpha1"""
    kind: str = "RAGPipeline"
    """RAGPipeline"""
    metadata: dict[str, Any]
    """Standard metadata."""
    spec: RAGPipelineSpec
    """What the pipeline should be."""
    status: RAGPipelineStatus | None = None
    """What became of it. Written by the operator."""
