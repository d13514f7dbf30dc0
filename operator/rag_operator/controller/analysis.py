"""Live traffic of two revisions over the present step, from the gateways' counters.

Counters only grow, so a step's counts are what they grew by since the step was first looked at, of pods that are gone since, too. They are
kept in memory: after a restart counting begins anew, which makes a step longer and never shorter.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final

from rag_operator.controller.scrape import GatewayReading, Labels, Samples
from rag_operator.model.observed import AnalysisReading, TrafficCounts
from rag_runtime.contracts import metrics

_REMEMBERED: Final = 1_000
Totals = dict[tuple[str, Labels], float]


@dataclass
class _Step:
    """What was counted since a step was first read, and what each pod said last."""

    heard: float  # when it was read last, or first asked for
    since: float = 0.0  # when counting began; 0 before
    last: dict[str, Samples] = field(default_factory=dict)
    mute: set[str] = field(default_factory=set)  # pods that were there at first, and that nobody could ask yet
    totals: Totals = field(default_factory=dict)

    def add(self, reading: GatewayReading, now: float) -> None:
        if not self.since:
            self.since, self.last = now, dict(reading.samples)
            self.mute = {pod.name for pod in reading.pods} - reading.samples.keys()
        self.heard = now
        for pod, samples in reading.samples.items():
            # A pod that is new, or began to count anew, has said nothing yet; one that was mute may have counted before the step.
            before = samples if pod in self.mute else self.last.get(pod, {})
            for sample, value in _since(samples, before).items():
                self.totals[sample] = self.totals.get(sample, 0.0) + value
            self.last[pod] = samples
        self.mute -= reading.samples.keys()


class Baselines:
    """What the gateway pods counted in each step. `clock`: seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_step: OrderedDict[Hashable, _Step] = OrderedDict()

    def read(self, step: Hashable, reading: GatewayReading | None, stable: str, candidate: str) -> AnalysisReading | None:
        """Counts since the step was first read; `None` when the pods could not be listed, or a ready one not be asked."""
        now = self._clock()
        found = self._by_step.setdefault(step, _Step(now))
        while len(self._by_step) > _REMEMBERED:
            self._by_step.popitem(last=False)
        if reading is None or any(pod.ready and not pod.reachable for pod in reading.pods) or not reading.samples:
            return None
        found.add(reading, now)
        return AnalysisReading(_counts(found.totals, stable), _counts(found.totals, candidate), found.since)

    def heard(self, step: Hashable) -> float:
        """When a step was read last, or first asked for, in seconds since the epoch; 0 when nobody asked."""
        found = self._by_step.get(step)
        return found.heard if found is not None else 0.0


def _since(now: Samples, before: Mapping[tuple[str, Labels], float]) -> Totals:
    return {sample: value - before.get(sample, 0.0) if value >= before.get(sample, 0.0) else value for sample, value in now.items()}


def _counts(totals: Totals, revision: str) -> TrafficCounts:
    own = {(name, labels): value for (name, labels), value in totals.items() if ("revision", revision) in labels}
    return TrafficCounts(
        requests=_sum(own, metrics.GATEWAY_REQUESTS),
        errors=_sum(own, metrics.GATEWAY_REQUESTS, ("outcome", "error")),
        degraded=_sum(own, metrics.GATEWAY_REQUESTS, ("outcome", "degraded")),
        empty=_sum(own, metrics.GATEWAY_EMPTY_RETRIEVALS),
        retrieval_p95=_quantile(own, metrics.GATEWAY_RETRIEVAL_SECONDS, 0.95),
        first_token_p95=_quantile(own, metrics.GATEWAY_FIRST_TOKEN_SECONDS, 0.95),
    )


def _sum(own: Totals, name: str, label: tuple[str, str] | None = None) -> int:
    return int(sum(value for (found, labels), value in own.items() if found == name and (label is None or label in labels)))


def _quantile(own: Totals, name: str, share: float) -> float | None:
    """A quantile of a histogram by linear interpolation within its bucket, as Prometheus computes it; `None` without observations."""
    buckets: dict[float, float] = {}
    for (found, labels), value in own.items():
        limit = dict(labels).get("le")
        if found == f"{name}_bucket" and limit is not None:
            buckets[float(limit)] = buckets.get(float(limit), 0.0) + value
    total = buckets.get(math.inf, 0.0)
    if not total:
        return None
    below, lower = 0.0, 0.0
    for bound in sorted(buckets):
        if buckets[bound] >= share * total:
            inside = (share * total - below) / max(buckets[bound] - below, 1e-9)
            return lower if math.isinf(bound) else lower + (bound - lower) * inside
        below, lower = buckets[bound], bound
    return lower
