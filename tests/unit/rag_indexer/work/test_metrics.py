"""What the syncer's metrics say, as Prometheus reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from rag_indexer.indexing.target import Counts
from rag_indexer.work.metrics import APPLIED, FAILED, HELD, IndexState, SourceState, SyncMetrics

INDEX = IndexState(
    "handbook-index-1",
    documents=40,
    chunks=90,
    failed=2,
    counts=Counts(documents=12, deleted=3, failed=2, inserted=30, rewritten=4, removed=5),
    embedder="http://embedder-1:8080",
    embedded=31,
    sources=(SourceState("policies", 1_700_000_000.0, 0), SourceState("wiki", None, 7)),
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> SyncMetrics:
    metrics = SyncMetrics()
    metrics.follow(lambda: [INDEX], registry)
    return metrics


@pytest.mark.usefixtures("metrics")
@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("rag_indexer_documents", {"index": INDEX.name}, 40),
        ("rag_indexer_failed_documents", {"index": INDEX.name}, 2),
        ("rag_indexer_chunks", {"index": INDEX.name}, 90),
        ("rag_indexer_index_documents_total", {"index": INDEX.name, "action": "written"}, 10),
        ("rag_indexer_index_documents_total", {"index": INDEX.name, "action": "deleted"}, 3),
        ("rag_indexer_index_documents_total", {"index": INDEX.name, "action": "failed"}, 2),
        ("rag_indexer_index_chunks_total", {"index": INDEX.name, "action": "inserted"}, 30),
        ("rag_indexer_index_chunks_total", {"index": INDEX.name, "action": "rewritten"}, 4),
        ("rag_indexer_index_chunks_total", {"index": INDEX.name, "action": "removed"}, 5),
        ("rag_indexer_texts_embedded_total", {"embedder": INDEX.embedder}, 31),
        ("rag_indexer_last_success_timestamp_seconds", {"index": INDEX.name, "source": "policies"}, 1_700_000_000),
        ("rag_indexer_deletions_held", {"index": INDEX.name, "source": "policies"}, 0),
        ("rag_indexer_deletions_held", {"index": INDEX.name, "source": "wiki"}, 7),
    ],
)
def test_an_index_is_told_of(registry: CollectorRegistry, name: str, labels: dict[str, str], value: float) -> None:
    assert registry.get_sample_value(name, labels) == value


@pytest.mark.usefixtures("metrics")
def test_a_source_that_was_never_applied_has_no_time_of_success(registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("rag_indexer_last_success_timestamp_seconds", {"index": INDEX.name, "source": "wiki"}) is None


def test_texts_are_counted_once_for_indexes_that_share_an_embedder(registry: CollectorRegistry) -> None:
    SyncMetrics().follow(lambda: [INDEX, replace(INDEX, name="handbook-index-2")], registry)
    assert registry.get_sample_value("rag_indexer_texts_embedded_total", {"embedder": INDEX.embedder}) == 31


def test_an_index_that_is_let_go_is_not_told_of_any_more(registry: CollectorRegistry) -> None:
    indexes = [INDEX]
    SyncMetrics().follow(lambda: indexes, registry)
    indexes.clear()
    assert registry.get_sample_value("rag_indexer_documents", {"index": INDEX.name}) is None


def test_passes_are_counted_by_what_they_came_to(registry: CollectorRegistry, metrics: SyncMetrics) -> None:
    for result in (APPLIED, APPLIED, HELD):
        metrics.passed("policies", result, 2.0)
    metrics.read("policies", 5)

    def passes(result: str) -> float | None:
        return registry.get_sample_value("rag_indexer_passes_total", {"source": "policies", "result": result})

    assert (passes(APPLIED), passes(HELD)) == (2, 1)
    assert passes(FAILED) == 0, "its first failure must be an increase"
    assert registry.get_sample_value("rag_indexer_pass_seconds_sum", {"source": "policies"}) == 6
    assert registry.get_sample_value("rag_indexer_documents_read_total", {"source": "policies"}) == 5
