"""How an index compares with its sources: what is stale, what failed, what is held, and when that changes by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rag_operator.api.v1alpha1.documents import Source
from rag_operator.api.v1alpha1.index_status import RAGIndexStatus, SourceSync
from rag_operator.api.v1alpha1.status import Freshness

_SHOWN: Final = 10
_LONGEST: Final = 1000


def freshness(sources: Iterable[Source], status: RAGIndexStatus | None, now: float) -> Freshness:
    """What a pipeline's status says about the index that serves."""
    sync = status.sync if status is not None else None
    if sync is None:
        return Freshness(state="Unknown")
    stale = tuple(source.name for source in sources if _age(source, sync.sources, now) > source.staleness_limit)
    held = sync.deletion_held.documents if sync.deletion_held is not None else 0
    failed = tuple(f"{document.id}: {document.reason}"[:_LONGEST] for document in sync.failed[:_SHOWN])
    return Freshness(
        state="Stale" if stale or held else "Fresh",
        stale_sources=stale,
        failed_documents=sync.failed_count,
        failed=failed,
        deletions_held=held,
    )


def changes_in(sources: Iterable[Source], status: RAGIndexStatus | None, now: float) -> float | None:
    """Seconds until a source that is fresh now becomes stale if nothing happens; `None` when none will."""
    sync = status.sync if status is not None else None
    if sync is None:
        return None
    left = [source.staleness_limit - _age(source, sync.sources, now) for source in sources]
    return min((wait for wait in left if wait > 0 and wait != float("inf")), default=None)


def oldest_listing(status: RAGIndexStatus | None) -> float | None:
    """When the oldest of the last applied listings began, in seconds since the epoch: the freshness as a number."""
    listing = status.sync.listing if status is not None and status.sync is not None else None
    return listing.start_time.seconds if listing is not None else None


def _age(source: Source, synced: Iterable[SourceSync], now: float) -> float:
    found = next((one for one in synced if one.name == source.name), None)
    if found is None or found.listing is None:
        return float("inf")
    return now - found.listing.start_time.seconds
