"""What the same engine does without a server: tokenise, compute, normalise, in one thread. Run as a program; prints JSON.

python -m bench.embedder.in_process PRECISION SECONDS   < texts as a JSON array
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence

from cluster.models import model_dir
from rag_embedder.engines.base import normalized
from rag_embedder.service import Loaded, load
from rag_embedder.settings import EmbedderSettings

BATCHES = {1: 1, 16: 16, 64: 64}  # the batch that a concurrency would allow


def texts_per_second(loaded: Loaded, texts: Sequence[str], rows: int, seconds: float) -> float:
    """Texts a second in batches of `rows`."""
    done, place = 0, 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        batch = [texts[(place + each) % len(texts)] for each in range(rows)]
        normalized(loaded.engine.encode(loaded.tokenizer.encode(batch, cut=True).ids))
        done, place = done + rows, place + rows
    return done / (time.perf_counter() - began)


def main() -> None:
    """Measure every batch size, after one round to warm up."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    precision, seconds = sys.argv[1], float(sys.argv[2])
    texts = json.load(sys.stdin)
    loaded = load(EmbedderSettings.model_validate({"model": str(model_dir("minilm")), "precision": precision}))
    for rows in BATCHES.values():
        texts_per_second(loaded, texts, rows, 0.5)
    print(json.dumps({concurrency: texts_per_second(loaded, texts, rows, seconds) for concurrency, rows in BATCHES.items()}))


if __name__ == "__main__":
    main()
