"""What the gateway measures. Per revision: live traffic on the public port alone, because the rollout's online gate reads it."""

from __future__ import annotations

from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from rag_runtime.contracts import metrics as names

from .epochs import Epochs

OK, ERROR, DEGRADED = "ok", "error", "degraded"


class Metrics:
    """All metrics of one gateway process."""

    def __init__(self, epochs: Epochs, registry: CollectorRegistry = REGISTRY) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, labelnames=("revision",), buckets=names.LATENCY_BUCKETS, registry=registry)
        self.requests = counter(names.GATEWAY_REQUESTS, "Requests that a revision was chosen for.", ("revision", "endpoint", "outcome"))
        self.retrieval = histogram(names.GATEWAY_RETRIEVAL_SECONDS, "From the question to its passages.")
        self.first_token = histogram(names.GATEWAY_FIRST_TOKEN_SECONDS, "From the request to the generator's first token.")
        self.empty = counter(names.GATEWAY_EMPTY_RETRIEVALS, "Retrievals that found nothing.", ("revision",))
        self.preview = counter("rag_gateway_preview_requests_total", "Requests on the preview port.", ("revision", "endpoint", "outcome"))
        self.refused = counter("rag_gateway_refused_total", "Requests refused before a revision was chosen.", ("code",))
        self.cached = counter("rag_gateway_query_vectors_cached_total", "Questions whose vector was known.")
        self.rejected = counter("rag_gateway_tables_rejected_total", "Routing tables that could not be used.")
        self.in_flight = gauge("rag_gateway_in_flight", "Requests that run.")
        served = gauge(names.GATEWAY_EPOCH_SERVED, "Newest epoch of the routing table that is answered by.")
        oldest = gauge(names.GATEWAY_EPOCH_OLDEST, "Oldest epoch that a running request or stream uses.")
        # Asked for at the moment of the scrape: a stored number could be older than a pin.
        served.set_function(lambda: epochs.served)
        oldest.set_function(lambda: epochs.oldest_in_use)

    def finished(self, revision: str, endpoint: str, outcome: str, *, preview: bool) -> None:
        """Count a request that a revision answered, or failed to."""
        (self.preview if preview else self.requests).labels(revision, endpoint, outcome).inc()

    def retrieved(self, revision: str, seconds: float, found: int, *, preview: bool) -> None:
        """Record one retrieval."""
        if not preview:
            self.retrieval.labels(revision).observe(seconds)
            self.empty.labels(revision).inc(0 if found else 1)

    def token(self, revision: str, seconds: float, *, preview: bool) -> None:
        """Record the time to a first token."""
        if not preview:
            self.first_token.labels(revision).observe(seconds)
