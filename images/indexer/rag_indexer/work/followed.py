"""An index that is kept up to date, and what the syncer remembers of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rag_indexer.errors import EmbedderError, PermanentError, SourceError
from rag_indexer.indexing.preparing import AwayError
from rag_indexer.indexing.target import Target
from rag_indexer.work.context import Model
from rag_indexer.work.freshness import SyncReport
from rag_runtime.contracts.index import Index, SourceSpec
from rag_runtime.contracts.index_status import EmbedderSeen, Observed
from rag_runtime.milvus.errors import LoginError, MissingError, NotOursError


@dataclass
class Followed:
    """An index that is kept up to date."""

    index: Index
    target: Target
    model: Model
    report: SyncReport
    ledger_read: float = float("-inf")
    probe_at: float = float("-inf")  # when its embedder is asked again; -inf: with the next pass
    equal: str = "Unknown"
    compare_at: float = float("-inf")
    verdicts: dict[str, EmbedderSeen] = field(default_factory=dict)  # the last ones, by the embedder's address
    observed: Observed | None = None
    locked_out: bool = False  # its Milvus did not let us in

    def doubt(self, error: Exception) -> None:
        """A pass ended with this for the index: what does not hold for sure any more is looked at anew."""
        self.locked_out = isinstance(error, LoginError)
        if not isinstance(error, SourceError | PermanentError | AwayError):
            # What was written is not known.
            self.ledger_read = float("-inf")
        if isinstance(error, EmbedderError) and not isinstance(error, AwayError):
            self.probe_at = float("-inf")
        if isinstance(error, MissingError | NotOursError):
            self.report.error(str(error))


def is_live(index: Index | None) -> bool:
    """Whether the operator wants it to be kept up to date."""
    return index is not None and index.spec.work.mode == "Sync" and not index.spec.collecting


def goes_on(index: Index | None, followed: Followed) -> bool:
    """Whether a pass over it may go on: it is wanted as it was when the pass began."""
    return index is not None and is_live(index) and is_cold(index) == followed.target.cold


def is_cold(index: Index) -> bool:
    """Whether it is to be kept out of memory."""
    return index.spec.work.cold_until is not None


def wakes_up(index: Index) -> bool:
    """Whether nobody who followed it has heard yet that it is to be in memory again."""
    heard = index.status.acknowledged if index.status is not None else None
    return heard is not None and heard.mode == "Sync" and heard != index.spec.work and not is_cold(index)


def locked_out(followed: Mapping[str, Followed]) -> list[str]:
    """The indexes whose connection is of no use any more: it is shared by all of one Milvus."""
    refusing = [each.index.spec.milvus for each in followed.values() if each.locked_out]
    return [name for name, each in followed.items() if each.index.spec.milvus in refusing]


def source_key(spec: SourceSpec) -> str:
    """Indexes share a pass when they describe a source in the same words."""
    return spec.model_dump_json()
