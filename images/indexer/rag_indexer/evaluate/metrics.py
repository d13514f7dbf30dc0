"""Retrieval metrics of one ranked answer. All are between 0 and 1; higher is better.

- nDCG@k: sum of grade / log2(rank + 1) over the ideal order's; grades are gains (Järvelin and Kekäläinen, 2002).
- Recall@k: share of the relevant documents (grade above 0) among the first k.
- MRR: 1 / rank of the first relevant document (Voorhees, 1999), over the `MRR_DEPTH` that were asked for.
- judged@k: share of the first k that the set has a judgement of. Low values mean that the others say little.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MRR_DEPTH = 10
JUDGED_DEPTH = 10
_NAME = re.compile(r"^(nDCG|Recall)@([1-9][0-9]?)$")

Judgements = Mapping[str, float]


@dataclass(frozen=True)
class Metric:
    """A metric by name, with the number of documents that must be asked for."""

    name: str
    depth: int
    of: Callable[[Sequence[str], Judgements], float]


def metric(name: str) -> Metric:
    """`nDCG@k`, `Recall@k` (k from 1 to 99) or `MRR`. Raises `ValueError` naming what is allowed."""
    if name == "MRR":
        return Metric(name, MRR_DEPTH, reciprocal_rank)
    match = _NAME.match(name)
    if match is None:
        raise ValueError(f"metric: {name!r}, allowed: nDCG@k or Recall@k with k from 1 to 99, or MRR")
    k = int(match[2])
    function = ndcg if match[1] == "nDCG" else recall
    return Metric(name, k, lambda found, relevant: function(found, relevant, k))


def ndcg(found: Sequence[str], relevant: Judgements, k: int) -> float:
    """Normalised discounted cumulative gain of the first `k`; 0 when nothing is relevant."""
    ideal = _gain(sorted(relevant.values(), reverse=True)[:k])
    return _gain([relevant.get(document, 0.0) for document in found[:k]]) / ideal if ideal else 0.0


def recall(found: Sequence[str], relevant: Judgements, k: int) -> float:
    """Share of the relevant documents among the first `k`; 0 when nothing is relevant."""
    wanted = {document for document, grade in relevant.items() if grade > 0}
    return len(wanted & set(found[:k])) / len(wanted) if wanted else 0.0


def reciprocal_rank(found: Sequence[str], relevant: Judgements) -> float:
    """1 / rank of the first relevant document among the first `MRR_DEPTH`; 0 when there is none."""
    hits = (rank for rank, document in enumerate(found[:MRR_DEPTH], 1) if relevant.get(document, 0.0) > 0)
    return 1.0 / next(hits, math.inf)


def judged(found: Sequence[str], relevant: Judgements, k: int = JUDGED_DEPTH) -> float:
    """Share of the first `k` found that have a judgement, zero grades included; 0 when nothing was found."""
    first = found[:k]
    return sum(document in relevant for document in first) / len(first) if first else 0.0


def _gain(grades: Sequence[float]) -> float:
    return sum(grade / math.log2(rank + 2) for rank, grade in enumerate(grades))
