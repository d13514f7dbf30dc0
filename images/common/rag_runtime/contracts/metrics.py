"""Names and labels of the metrics that more than one part knows. Base units, Prometheus conventions."""

from __future__ import annotations

# The HPA's metric: waiting and running, in texts (embedding) or requests (generation).
QUEUE_LENGTH = "queue_length"
QUEUE_EMBEDDING = "embedding"
QUEUE_GENERATION = "generation"

# Gateway, per revision; the online gate reads them.
GATEWAY_REQUESTS = "rag_gateway_requests_total"  # labels: revision, endpoint, outcome=ok|error|degraded
GATEWAY_RETRIEVAL_SECONDS = "rag_gateway_retrieval_seconds"  # histogram; labels: revision
GATEWAY_FIRST_TOKEN_SECONDS = "rag_gateway_time_to_first_token_seconds"  # histogram; labels: revision
GATEWAY_EMPTY_RETRIEVALS = "rag_gateway_empty_retrievals_total"  # labels: revision
GATEWAY_EPOCH_SERVED = "rag_gateway_epoch_served"  # gauge: newest epoch this pod answers by
GATEWAY_EPOCH_OLDEST = "rag_gateway_epoch_oldest_in_use"  # gauge: oldest epoch a running request or stream still uses

# Bounds shared by writer and reader, in seconds.
LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
