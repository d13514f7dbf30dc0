"""What the gateway measures. Per revision: live traffic on the public port alone, because the rollout's online gate reads it."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from rag_runtime.contracts import metrics as names

from .epochs import Epochs

OK, ERROR, DEGRADED = "ok", "error", "degraded"


class Metrics:
    """All metrics of one gateway process."""

    def __init__(self, epochs: Epochs, registry: CollectorRegistry = REGISTRY) -> None:
        revision = ("revision",)
        self.requests = Counter(
            names.GATEWAY_REQUESTS, "Requests that a revision was chosen for.", ("revision", "endpoint", "outcome"), registry=registry
        )
        self.retrieval = _histogram(names.GATEWAY_RETRIEVAL_SECONDS, "From the question to its passages.", registry)
        self.first_token = _histogram(names.GATEWAY_FIRST_TOKEN_SECONDS, "From the request to the generator's first token.", registry)
        self.empty = Counter(names.GATEWAY_EMPTY_RETRIEVALS, "Retrievals that found nothing.", revision, registry=registry)
        self.preview = Counter(
            "rag_gateway_preview_requests_total", "Requests on the preview port.", ("revision", "endpoint", "outcome"), registry=registry
        )
        self.refused = Counter("rag_gateway_refused_total", "Requests refused before a revision was chosen.", ("code",), registry=registry)
        self.cached = Counter("rag_gateway_query_vectors_cached_total", "Questions whose vector was known.", registry=registry)
        self.rejected = Counter("rag_gateway_tables_rejected_total", "Routing tables that could not be used.", registry=registry)
        self.in_flight = Gauge("rag_gateway_in_flight", "Requests that run.", registry=registry)
        served = Gauge(names.GATEWAY_EPOCH_SERVED, "Newest epoch of the routing table that is answered by.", registry=registry)
        oldest = Gauge(names.GATEWAY_EPOCH_OLDEST, "Oldest epoch that a running request or stream uses.", registry=registry)
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


def _histogram(name: str, text: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(name, text, ("revision",), buckets=names.LATENCY_BUCKETS, registry=registry)
