"""`RAGPipelineSpec`: what a user asks for. `RAGPipelineSpec.model_validate(raw)` is the parser, and the only one."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rag_operator.api.base import Items, Model
from rag_operator.api.marks import DATA, IN_PLACE, POLICY
from rag_operator.api.rules import Keyed, Rule
from rag_operator.api.v1alpha1.documents import Documents, Source
from rag_operator.api.v1alpha1.embedder import Embedder
from rag_operator.api.v1alpha1.gateway import Gateway, Indexer, Retrieval
from rag_operator.api.v1alpha1.generator import Generator
from rag_operator.api.v1alpha1.rollout import Rollout
from rag_operator.api.v1alpha1.store import VectorStore


class Runtime(Model):
    """Which version of the operator's own images runs."""

    version: Annotated[str, Field(min_length=3, max_length=32, pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?$"), IN_PLACE] = "0.1"
    """Version of the images of embedder, indexer and gateway. It is pinned when the pipeline is made."""


def _parts_divide(spec: RAGPipelineSpec) -> bool:
    product_quantised = spec.vector_store.milvus.index.ivf_pq
    chosen = spec.embedder.local or spec.embedder.external
    return product_quantised is None or chosen is None or chosen.dimensions % product_quantised.m == 0


def _chunks_fit(spec: RAGPipelineSpec) -> bool:
    external = spec.embedder.external
    return external is None or spec.documents.chunking.max_tokens < external.max_input_tokens


def _ef_covers(spec: RAGPipelineSpec) -> bool:
    ef = spec.vector_store.milvus.search.ef
    return ef is None or ef >= spec.retrieval.top_k


class RAGPipelineSpec(Model):
    """What the pipeline should be."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.vectorStore.milvus.index.ivfPq) || "
            "[has(self.embedder.local) ? self.embedder.local.dimensions : 0, "
            "has(self.embedder.external) ? self.embedder.external.dimensions : 0]"
            ".all(d, d % self.vectorStore.milvus.index.ivfPq.m == 0)",
            "vectorStore.milvus.index.ivfPq.m must divide the embedder's dimensions",
            _parts_divide,
            path=".vectorStore.milvus.index.ivfPq.m",
        ),
        Rule(
            "!has(self.vectorStore.milvus.search.ef) || self.vectorStore.milvus.search.ef >= self.retrieval.topK",
            "vectorStore.milvus.search.ef must be at least retrieval.topK",
            _ef_covers,
            path=".vectorStore.milvus.search.ef",
        ),
        Rule(
            "!has(self.embedder.external) || self.documents.chunking.maxTokens < self.embedder.external.maxInputTokens",
            "documents.chunking.maxTokens must be less than embedder.external.maxInputTokens: prompt and special tokens need room",
            _chunks_fit,
            path=".documents.chunking.maxTokens",
        ),
    )

    sources: Annotated[Items[Source], Field(min_length=1, max_length=32), Keyed("name"), DATA]
    """Where documents come from."""
    documents: Documents = Field(default_factory=Documents)
    """How documents become chunks."""
    embedder: Embedder
    """Who turns text into vectors."""
    vector_store: VectorStore
    """Where the vectors are."""
    retrieval: Retrieval = Field(default_factory=Retrieval)
    """How passages are found."""
    generator: Generator | None = None
    """Who writes the answer. Unset: the pipeline retrieves and quotes."""
    gateway: Gateway = Field(default_factory=Gateway)
    """What answers questions."""
    indexer: Indexer = Field(default_factory=Indexer)
    """What reads sources and fills indexes."""
    rollout: Rollout = Field(default_factory=Rollout)
    """How a change reaches traffic."""
    runtime: Runtime = Field(default_factory=Runtime)
    """Which version of the operator's own images runs."""
    deletion_policy: Annotated[Literal["Retain", "Delete"], POLICY] = "Retain"
    """What becomes of the data when the pipeline is deleted."""
    suspend: Annotated[bool, POLICY] = False
    """Whether the operator leaves this pipeline alone. What runs keeps running."""
