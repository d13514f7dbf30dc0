"""The operator's own metrics, in base units by the Prometheus conventions."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
_counter = partial(Counter, registry=REGISTRY)
_gauge = partial(Gauge, registry=REGISTRY)

RECONCILES = _counter("rag_operator_reconciles", "Passes over one pipeline, by how they ended.", ["result"])
RECONCILE_SECONDS = Histogram(
    "rag_operator_reconcile_seconds",
    "How long a pass over one pipeline took.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
ERRORS = _counter("rag_operator_errors", "Passes that failed, by reason.", ["reason"])
WRITES = _counter("rag_operator_writes", "Writes sent to the API server, by kind.", ["kind"])
WATCH_EVENTS = _counter("rag_operator_watch_events", "Events that watches brought, by kind.", ["kind"])
WATCH_MISSED = _counter("rag_operator_watch_missed", "Objects that a complete list had and a watch had lost.", ["kind"])
TRANSITIONS = _counter(
    "rag_operator_transitions", "Transitions of pipelines and rollouts, by reason; each has an Event, unless it was refused.", ["reason"]
)
QUEUE_DEPTH = _gauge("rag_operator_queue_depth", "Pipelines that are due now.")
QUEUE_AGE = _gauge("rag_operator_queue_age_seconds", "How long the oldest due pipeline has waited.")
LEADING = _gauge("rag_operator_leading", "Whether this replica leads.")
PIPELINES = _gauge("rag_operator_pipelines", "Pipelines, by phase.", ["phase"])
CONDITIONS = _gauge("rag_operator_pipeline_conditions", "Pipelines, by condition and its status.", ["type", "status"])
LISTED = _gauge(
    "rag_operator_index_listing_timestamp_seconds",
    "When the oldest of the listings began that the serving index has applied: its freshness.",
    ["namespace", "pipeline"],
)
LET_GO = _counter(
    "rag_operator_deletions_let_go", "Pipelines whose external data were left behind, because the store could not be cleaned in time."
)


def publish_listing(namespace: str, pipeline: str, began: float | None) -> None:
    """Say when the serving index's oldest listing began (Unix time); `None`: nothing serves, and an age would only grow."""
    if began is not None:
        LISTED.labels(namespace, pipeline).set(began)
    else:
        with suppress(KeyError):
            LISTED.remove(namespace, pipeline)


@dataclass
class Census:
    """Counts pipelines by phase and condition; a pipeline counts once, as it was last seen."""

    _phases: dict[Hashable, str] = field(default_factory=dict)
    _conditions: dict[Hashable, dict[str, str]] = field(default_factory=dict)

    def record(self, key: Hashable, phase: str, conditions: Mapping[str, str]) -> None:
        """The pipeline is in this phase and has these conditions (status by type)."""
        if self._phases.get(key) == phase and self._conditions.get(key) == conditions:
            return
        self._phases[key], self._conditions[key] = phase, dict(conditions)
        self._publish()

    def forget(self, key: Hashable) -> None:
        """The pipeline does not exist any more."""
        if self._phases.pop(key, None) is not None:
            self._conditions.pop(key, None)
            self._publish()

    def _publish(self) -> None:
        PIPELINES.clear()
        for phase, count in Count(self._phases.values()).items():
            PIPELINES.labels(phase).set(count)
        CONDITIONS.clear()
        pairs = Count(pair for conditions in self._conditions.values() for pair in conditions.items())
        for (kind, status), count in pairs.items():
            CONDITIONS.labels(kind, status).set(count)
