"""How sure a difference is: the paired percentile bootstrap (Efron, 1979; for retrieval Smucker, Allan and Carterette, 2007)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
_CHUNK = 1_000  # resamples drawn at once, which bounds memory at 8 MB per 1,000 questions


@dataclass(frozen=True)
class Difference:
    """Mean paired difference (candidate - stable) over stable's mean, with its 95 % interval. A stable mean of 0 gives NaN."""

    value: float
    low: float
    high: float


def paired_difference(stable: Sequence[float], candidate: Sequence[float], seed: int = 0) -> Difference:
    """`stable` and `candidate`: one value per question, in the same order. The same seed gives the same interval.

    Numerator and denominator are resampled together, so the interval is that of the ratio.
    """
    if len(stable) != len(candidate) or not stable:
        raise ValueError(f"{len(stable)} values of stable and {len(candidate)} of the candidate, allowed: equally many, at least one")
    base, difference = np.asarray(stable, dtype=float), np.asarray(candidate, dtype=float) - np.asarray(stable, dtype=float)
    if base.mean() == 0:
        return Difference(float("nan"), float("nan"), float("nan"))
    drawn = np.random.default_rng(seed)
    ratios: list[np.ndarray] = []
    for _ in range(RESAMPLES // _CHUNK):
        picks = drawn.integers(0, len(base), size=(_CHUNK, len(base)))
        means = base[picks].mean(axis=1)
        ratios.append(np.divide(difference[picks].mean(axis=1), means, out=np.zeros(_CHUNK), where=means > 0))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(ratios), [tail, 1 - tail])
    return Difference(float(difference.mean() / base.mean()), float(low), float(high))
