"""The embedder's metrics. `queue_length` is what the HPA scales by; it is computed when it is scraped."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from rag_runtime.contracts.headers import LANE_BULK, LANE_QUERY
from rag_runtime.contracts.metrics import LATENCY_BUCKETS, QUEUE_EMBEDDING, QUEUE_LENGTH

_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Metrics:
    """An `Observer` of the scheduler, and what the API counts."""

    def __init__(self, pipeline: str, component: str, registry: CollectorRegistry = REGISTRY) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self._whose = (pipeline, component)
        self._queue = gauge(QUEUE_LENGTH, "Texts waiting and running", ["queue", "lane", "pipeline", "component"])
        self._requests = counter("rag_embedder_requests_total", "Answers by status", ["lane", "status"])
        self._texts = counter("rag_embedder_texts_total", "Texts computed", ["lane"])
        self._tokens = counter("rag_embedder_tokens_total", "Tokens computed, padding not counted", ["lane"])
        self._dropped = counter("rag_embedder_dropped_texts_total", "Texts that nobody waited for", ["lane", "reason"])
        self._truncated = counter("rag_embedder_truncated_texts_total", "Query texts cut at the token limit")
        self._rows = histogram("rag_embedder_batch_texts", "Texts in a batch", ["lane"], buckets=_ROWS)
        self._batches = histogram("rag_embedder_batch_seconds", "Computing a batch", ["lane"], buckets=LATENCY_BUCKETS)
        self._waits = histogram("rag_embedder_queue_seconds", "Waiting of a batch's oldest text", ["lane"], buckets=LATENCY_BUCKETS)
        self._model = gauge("rag_embedder_model_info", "The model", ["fingerprint", "engine", "precision"])

    def follow(self, queue_length: Callable[[str], int]) -> None:
        """Ask `queue_length(lane)` at every scrape."""
        for lane in (LANE_QUERY, LANE_BULK):
            self._queue.labels(QUEUE_EMBEDDING, lane, *self._whose).set_function(partial(queue_length, lane))

    def model(self, fingerprint: str, engine: str, precision: str) -> None:
        """Say what is served."""
        self._model.labels(fingerprint, engine, precision).set(1)

    def answered(self, lane: str, status: int) -> None:
        """Count one answer."""
        self._requests.labels(lane, str(status)).inc()

    def truncated(self, texts: int) -> None:
        """Count texts that were cut."""
        self._truncated.inc(texts)

    def batch(self, lane: str, rows: int, tokens: int, seconds: float) -> None:
        """See `Observer`."""
        self._texts.labels(lane).inc(rows)
        self._tokens.labels(lane).inc(tokens)
        self._rows.labels(lane).observe(rows)
        self._batches.labels(lane).observe(seconds)

    def started(self, lane: str, waited: float) -> None:
        """See `Observer`."""
        self._waits.labels(lane).observe(waited)

    def dropped(self, lane: str, texts: int, reason: str) -> None:
        """See `Observer`."""
        self._dropped.labels(lane, reason).inc(texts)
