"""nDCG@10 of what the gateway answers, from its public port: the demo's own check, beside the operator's gate.

DCG with the grades as gains: sum of grade / log2(rank + 1), over the ideal order's (Järvelin and Kekäläinen, 2002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from demo.corpus import Question

DEPTH = 10


def ndcg(found: Sequence[str], relevant: dict[str, int], depth: int = DEPTH) -> float:
    """nDCG of the ranked document ids `found` against graded judgements; 0 when nothing is relevant."""
    gained = sum(relevant.get(document, 0) / math.log2(rank + 2) for rank, document in enumerate(found[:depth]))
    ideal = sum(grade / math.log2(rank + 2) for rank, grade in enumerate(sorted(relevant.values(), reverse=True)[:depth]))
    return gained / ideal if ideal else 0.0


def mean_ndcg(url: str, questions: Sequence[Question]) -> float:
    """Mean nDCG@10 over `questions`. Raises `httpx.HTTPError` when one is not answered."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client, ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(lambda question: _score(client, question), questions))
    return sum(scores) / len(scores)


def _score(client: httpx.Client, question: Question) -> float:
    reply = client.post("/v1/retrieve", json={"query": question.text, "k": DEPTH, "groupBy": "document"}).raise_for_status()
    return ndcg([result["document"] for result in reply.json()["results"]], question.relevant)
