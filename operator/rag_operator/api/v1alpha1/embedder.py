"""Who turns text into vectors: an embedder that the operator runs, or an endpoint."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rag_operator.api.base import Model
from rag_operator.api.marks import CONTENT, EMBEDDER, IN_PLACE, REVISION
from rag_operator.api.rules import Rule, one_of
from rag_operator.api.scalars import Between, Duration
from rag_operator.api.v1alpha1.common import (
    Dimensions,
    HttpUrl,
    Replicas,
    SecretRef,
)
from rag_operator.api.v1alpha1.models import REPLICAS_OR_AUTOSCALING, ModelCache, ModelName, ModelRef, ModelSource, Prompt, Revision
from rag_operator.api.v1alpha1.pod import Autoscaling, PodSettings


class EmbeddingModelRef(ModelRef):
    """The embedding model."""

    name: Annotated[ModelName, CONTENT, EMBEDDER]
    """Name of the model, such as sentence-transformers/all-MiniLM-L6-v2."""
    revision: Annotated[Revision, CONTENT, EMBEDDER]
    """Pinned version: the commit, for a hub; for an image or a volume, a version that changes whenever the weights do."""
    source: Annotated[ModelSource, EMBEDDER]
    """Where the weights come from."""


class Batching(Model):
    """How texts are put into batches."""

    max_wait: Annotated[Duration, Between("0ms", "1s")] = Duration("5ms")
    """How long a query may wait for others to share its batch."""
    max_batch_tokens: Annotated[int, Field(ge=128, le=1_048_576)] = 16384
    """Largest batch: rows times the longest text."""
    max_queue: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """How many texts may wait. Beyond it callers are told to come back."""
    max_bulk_batch: Annotated[Duration, Between("1ms", "10s")] = Duration("50ms")
    """Longest that a batch of bulk texts may compute, for queries wait behind it."""


class LocalEmbedder(Model):
    """An embedder that the operator runs."""

    RULES: ClassVar[tuple[Rule, ...]] = (REPLICAS_OR_AUTOSCALING,)

    model: EmbeddingModelRef
    """The embedding model."""
    dimensions: Annotated[Dimensions, CONTENT, EMBEDDER]
    """Length of the vectors. Fewer than the model's own: they are truncated and normalised."""
    precision: Annotated[Literal["Auto", "Float32", "Int8"], EMBEDDER] = "Auto"
    """Auto computes in 16 bits where the hardware does; Int8 is faster and less exact. The index is kept."""
    query_prefix: Annotated[Prompt, REVISION] | None = None
    """Put before a question. Unset: the model's own prompt; empty: none."""
    document_prefix: Annotated[Prompt, CONTENT] | None = None
    """Put before a chunk. Unset: the model's own prompt; empty: none."""
    batching: Annotated[Batching, IN_PLACE] = Field(default_factory=Batching)
    """How texts are put into batches."""
    replicas: Annotated[Replicas, IN_PLACE] | None = None
    """Fixed number of replicas. Unset, without autoscaling: 1."""
    autoscaling: Annotated[Autoscaling, IN_PLACE] | None = None
    """Replicas that follow the queue. Excludes replicas."""
    model_cache: Annotated[ModelCache, IN_PLACE] | None = None
    """Keeps downloaded weights. Unset: each pod downloads its own."""
    pod: Annotated[PodSettings, IN_PLACE] = Field(default_factory=PodSettings)
    """How the pods run."""

    @property
    def declared(self) -> tuple[str, str]:
        """Name and revision of the model."""
        return self.model.name, self.model.revision


class ExternalEmbedder(Model):
    """An OpenAI-compatible embeddings endpoint. Probe vectors notice when its weights change."""

    url: Annotated[HttpUrl, EMBEDDER]
    """Address of the API, such as https://host/v1; /embeddings is added."""
    model: Annotated[ModelName, CONTENT, EMBEDDER]
    """Name of the model in requests."""
    dimensions: Annotated[Dimensions, CONTENT, EMBEDDER]
    """Length of the vectors."""
    revision: Annotated[Revision, CONTENT, EMBEDDER]
    """A version of your own: change it when the endpoint changes the weights behind the name."""
    max_input_tokens: Annotated[int, Field(ge=16, le=1_048_576), IN_PLACE] = 512
    """The longest text that the endpoint takes, in tokens."""
    query_prefix: Annotated[Prompt, REVISION] | None = None
    """Put before a question. Unset or empty: nothing."""
    document_prefix: Annotated[Prompt, CONTENT] | None = None
    """Put before a chunk. Unset or empty: nothing."""
    credentials_secret_ref: Annotated[SecretRef, IN_PLACE] | None = None
    """Secret with the key apiKey."""

    @property
    def declared(self) -> tuple[str, str]:
        """Name and revision of the model."""
        return self.model, self.revision


class Embedder(Model):
    """Who turns text into vectors."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_of("local", "external"),)

    local: LocalEmbedder | None = None
    """An embedder that the operator runs."""
    external: ExternalEmbedder | None = None
    """An endpoint that somebody else runs."""

    @property
    def chosen(self) -> LocalEmbedder | ExternalEmbedder:
        """The member that is set."""
        found = self.local or self.external
        if found is None:
            raise ValueError("an embedder is local or external")
        return found
