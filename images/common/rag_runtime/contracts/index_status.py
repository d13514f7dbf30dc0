"""What indexers write into a `RAGIndex`: its status, and the work that they acknowledge.

Lengths that the API bounds are cut here, once, so that no status is ever refused for its size.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

MAX_FAILED = 10
MAX_TEXT = 1_024
Mode = Literal["Build", "Sync", "Copy", "Stop", "Drop"]


class _Value(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """The object as Kubernetes stores it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class CopyFrom(_Value):
    """The index to copy from."""

    index: str
    collection: str
    dimensions: int


class Work(_Value):
    """What is to be done."""

    mode: Mode
    from_: CopyFrom | None = Field(None, alias="from")
    attempt: int = 0
    cold_until: str | None = None


Text = Annotated[str, BeforeValidator(lambda text: text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…")]


def timestamp(seconds: float) -> str:
    """An instant as the API writes it, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Build(_Value):
    """How far a build or a copy is."""

    documents: int = 0
    chunks: int = 0
    total: int | None = None
    failed: int = 0
    embedded: int = 0
    rate: float | None = None
    start_time: str
    completion_time: str | None = None
    message: Text = ""


class Listing(_Value):
    """A complete listing that the index has applied."""

    id: str
    start_time: str
    duration: float | None = None


class SourceSync(_Value):
    """How fresh one source is."""

    name: str
    listing: Listing | None = None
    documents: int = 0
    error: Text | None = None


class FailedDocument(_Value):
    """A document that could not be indexed."""

    id: str
    reason: Text
    attempts: int = 1


class DeletionHeld(_Value):
    """Deletions that wait for approval."""

    listing: str
    documents: int
    of: int


class Sync(_Value):
    """How the index follows its sources."""

    listing: Listing | None = None
    sources: tuple[SourceSync, ...] = ()
    documents: int = 0
    chunks: int = 0
    embedded: int = 0
    failed: tuple[FailedDocument, ...] = ()
    failed_count: int = 0
    deletion_held: DeletionHeld | None = None
    oldest_pending: str | None = None


class EmbedderSeen(_Value):
    """One embedder, compared with the index."""

    url: str
    probes: Literal["Equal", "Different", "Unknown"] = "Unknown"
    model_fingerprint: str | None = None


class Observed(_Value):
    """What the store and the embedder say about themselves."""

    model_fingerprint: str | None = None
    probes: Literal["Equal", "Different", "Unknown"] = "Unknown"
    embedders: tuple[EmbedderSeen, ...] | None = None  # only the syncer says it; what is left out is not taken away from it
    model_token_limit: int | None = None
    shards: int | None = None
    index_type: str | None = None
    metric: str | None = None
    loaded: bool = False
    pending_rows: int | None = None
    parser: str | None = None
    server_version: str | None = None
    ignored: tuple[Text, ...] = ()


class IndexStatus(_Value):
    """What indexers report. Conditions are the operator's and are not here."""

    acknowledged: Work | None = None
    completed: Work | None = None
    build: Build | None = None
    sync: Sync | None = None
    observed: Observed | None = None
    # As they are stored: a report is passed on whole, whatever later versions add to it.
    evaluations: tuple[dict[str, Any], ...] = ()
