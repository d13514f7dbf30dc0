"""Metrics that name a pipeline end with it."""

from __future__ import annotations

from rag_operator import metrics


def listed() -> float | None:
    return metrics.REGISTRY.get_sample_value("rag_operator_index_listing_timestamp_seconds", {"namespace": "n", "pipeline": "p"})


def test_the_listing_of_a_pipeline_that_serves_nothing_is_not_told() -> None:
    metrics.publish_listing("n", "p", None)
    metrics.publish_listing("n", "p", 5.0)
    assert listed() == 5.0
    metrics.publish_listing("n", "p", None)
    assert listed() is None
