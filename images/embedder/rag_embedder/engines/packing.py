"""The inputs of the packed graph for one batch (what each is: `bert_graph`).

Axes are rounded up to a multiple of `STEP`, since every new shape costs the engine a preparation: few shapes, prepared once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_embedder.model.description import Pooling
from rag_embedder.tokens import TokenIds

STEP = 16
# Far below any score, and still finite in bfloat16: exp() of it is zero.
HIDDEN = -1e9


def pack(texts: Sequence[TokenIds], pooling: Pooling, first_position: int) -> dict[str, NDArray[Any]]:
    """One array per input of the graph; texts are not empty."""
    lengths = np.array([len(text) for text in texts])
    count, total = len(texts), int(lengths.sum())
    tokens, longest = _rounded(total), _rounded(int(lengths.max()))
    stands = np.arange(longest)[None, :] < lengths[:, None]
    ids, positions, back = (np.zeros(tokens, np.int32) for _ in range(3))
    rows = np.zeros((count, longest), np.int32)
    ids[:total] = np.concatenate(list(texts))
    positions[:total] = np.concatenate([np.arange(length) for length in lengths]) + first_position
    back[:total] = np.flatnonzero(stands)
    rows[stands] = np.arange(total)
    return {
        "ids": ids,
        "positions": positions,
        "types": np.zeros(tokens, np.int32),
        "rows": rows,
        "back": back,
        "mask": np.where(stands, np.float32(0), np.float32(HIDDEN))[:, None, None, :],
        "pool": _pool(lengths, tokens, pooling),
    }


def _pool(lengths: NDArray[np.int64], tokens: int, pooling: Pooling) -> NDArray[np.float32]:
    """Weights such that weights · tokens is the pooled vector."""
    texts = np.arange(len(lengths))
    ends = np.cumsum(lengths)
    weights = np.zeros((len(lengths), tokens), np.float32)
    if pooling == "mean":
        weights[np.repeat(texts, lengths), np.arange(ends[-1])] = np.repeat(1.0 / lengths, lengths)
    elif pooling == "cls":
        weights[texts, ends - lengths] = 1
    elif pooling == "lasttoken":
        weights[texts, ends - 1] = 1
    else:
        raise ValueError(f"pooling {pooling} is not a weighted sum of tokens")
    return weights


def _rounded(number: int) -> int:
    return -(-number // STEP) * STEP
