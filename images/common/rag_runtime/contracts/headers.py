"""HTTP headers of the data plane."""

from __future__ import annotations

LANE = "x-rag-lane"  # query | bulk, absent means query
REVISION = "x-rag-revision"  # on answers; on requests only the preview port obeys it
EPOCH = "x-rag-epoch"  # the routing table's epoch that resolved the request
MODE = "x-rag-mode"  # absent when whole; `passages` when the generator failed before its first token
SESSION = "x-rag-session"  # a client's own stickiness key
COLLECTION = "x-rag-collection"  # preview answers only
DIMENSION = "x-rag-dimension"  # preview answers only
REQUEST_ID = "x-request-id"
FINGERPRINT = "x-rag-fingerprint"  # on an embedder's answers: the model fingerprint that made these vectors
DEADLINE = "x-rag-deadline-ms"  # milliseconds the caller will still wait
TRUNCATED = "x-rag-truncated"  # number of query texts that were cut at the model's token limit

LANE_QUERY = "query"
LANE_BULK = "bulk"
