"""The syncer's metrics. What indexes hold is computed when it is scraped, so that nothing is told of an index that is let go.

Per index what it holds and what was done to it, per source what its passes came to. Counters begin at zero with the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rag_indexer.indexing.target import Counts

# A pass that finds nothing to do takes tenths of a second, one that embeds everything takes hours.
PASS_BUCKETS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)

APPLIED, HELD, FAILED, STOPPED = "applied", "held", "failed", "stopped"
RESULTS = (APPLIED, HELD, FAILED, STOPPED)


@dataclass(frozen=True)
class SourceState:
    """One source of an index: when the listing that it has applied began, and how many deletions wait for approval."""

    name: str
    listed: float | None
    held: int


@dataclass(frozen=True)
class IndexState:
    """One index: documents and chunks that it holds, documents that failed, what was done to it, who embeds for it."""

    name: str
    documents: int
    chunks: int
    failed: int
    counts: Counts
    embedder: str  # its URL; indexes may share one
    embedded: int  # texts that the embedder computed for all of them
    sources: tuple[SourceState, ...]


class SyncMetrics(Collector):
    """Registered while a syncer runs."""

    def __init__(self) -> None:
        self._indexes: Callable[[], Iterable[IndexState]] = tuple
        self._read = Counter("rag_indexer_documents_read_total", "Documents fetched from a source", ["source"], registry=None)
        self._passes = Counter("rag_indexer_passes_total", "Passes over a source", ["source", "result"], registry=None)
        self._seconds = Histogram("rag_indexer_pass_seconds", "A pass over a source", ["source"], buckets=PASS_BUCKETS, registry=None)

    def follow(self, indexes: Callable[[], Iterable[IndexState]], registry: CollectorRegistry = REGISTRY) -> None:
        """Ask `indexes` at every scrape of `registry`."""
        self._indexes = indexes
        registry.register(self)

    def read(self, source: str, documents: int) -> None:
        """Count documents that were fetched."""
        self._read.labels(source).inc(documents)

    def passed(self, source: str, result: str, seconds: float) -> None:
        """Count one pass; `result` is one of `RESULTS`."""
        for known in RESULTS:
            # A series that appears with its first failure hides that failure from rate().
            self._passes.labels(source, known).inc(1 if known == result else 0)
        self._seconds.labels(source).observe(seconds)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask the indexes."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        indexes = list(self._indexes())
        yield from (*self._read.collect(), *self._passes.collect(), *self._seconds.collect())
        yield from _held_by(indexes)
        yield from _done_to(indexes)
        yield from _sources_of(indexes)


def _held_by(indexes: Iterable[IndexState]) -> Iterator[Metric]:
    documents = GaugeMetricFamily("rag_indexer_documents", "Documents that an index holds", labels=["index"])
    failed = GaugeMetricFamily("rag_indexer_failed_documents", "Documents that cannot be read, parsed or embedded", labels=["index"])
    chunks = GaugeMetricFamily("rag_indexer_chunks", "Chunks that an index holds", labels=["index"])
    for index in indexes:
        documents.add_metric([index.name], index.documents)
        failed.add_metric([index.name], index.failed)
        chunks.add_metric([index.name], index.chunks)
    yield from (documents, failed, chunks)


def _done_to(indexes: Sequence[IndexState]) -> Iterator[Metric]:
    documents = CounterMetricFamily("rag_indexer_index_documents_total", "Documents by what was done to them", labels=["index", "action"])
    chunks = CounterMetricFamily("rag_indexer_index_chunks_total", "Chunks by what was done to them", labels=["index", "action"])
    embedded = CounterMetricFamily("rag_indexer_texts_embedded_total", "Texts that an embedder computed", labels=["embedder"])
    for index in indexes:
        done = index.counts
        for action, number in (("written", done.documents - done.failed), ("deleted", done.deleted), ("failed", done.failed)):
            documents.add_metric([index.name, action], number)
        for action, number in (("inserted", done.inserted), ("rewritten", done.rewritten), ("removed", done.removed)):
            chunks.add_metric([index.name, action], number)
    for embedder, number in {index.embedder: index.embedded for index in indexes}.items():
        embedded.add_metric([embedder], number)
    yield from (documents, chunks, embedded)


def _sources_of(indexes: Iterable[IndexState]) -> Iterator[Metric]:
    text = "When the listing began that an index has applied last"
    listed = GaugeMetricFamily("rag_indexer_last_success_timestamp_seconds", text, labels=["index", "source"])
    held = GaugeMetricFamily("rag_indexer_deletions_held", "Deletions that wait for approval", labels=["index", "source"])
    for index in indexes:
        for source in index.sources:
            if source.listed is not None:
                listed.add_metric([index.name, source.name], source.listed)
            held.add_metric([index.name, source.name], source.held)
    yield from (listed, held)
