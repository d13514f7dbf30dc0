"""What the same engine does without a server: tokenise, compute, normalise, in one thread, on every core.

A program, `python -m bench.embedder.in_process PRECISION`. Its first line of input is a JSON array of texts; each line after it is
`ROWS SECONDS`, answered with the texts a second in batches of so many rows.
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
    """Measure what is asked for, until nothing more is."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    loaded = load(EmbedderSettings.model_validate({"model": str(model_dir("minilm")), "precision": sys.argv[1]}))
    texts = json.loads(sys.stdin.readline())
    for line in sys.stdin:
        rows, seconds = line.split()
        print(texts_per_second(loaded, texts, int(rows), float(seconds)), flush=True)


if __name__ == "__main__":
    main()
