"""A loaded model behind its queue: what the API calls."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from rag_embedder.batching.calls import Call
from rag_embedder.batching.scheduler import Limits, Scheduler
from rag_embedder.batching.speed import Speed
from rag_embedder.engines.base import Engine, Vectors, normalized
from rag_embedder.engines.select import has_own_graph, select, weight_files
from rag_embedder.errors import ModelError
from rag_embedder.metrics import Metrics
from rag_embedder.model import source
from rag_embedder.model.description import describe
from rag_embedder.model.fingerprint import fingerprint
from rag_embedder.settings import EmbedderSettings
from rag_embedder.tokens import TextTokenizer, TokenIds, Tokenized
from rag_runtime.contracts.embedding import ModelCard
from rag_runtime.contracts.headers import LANE_QUERY
from rag_runtime.threads import in_daemon_thread

logger = logging.getLogger(__name__)

# Beyond so many characters tokenising would hold up the event loop for more than a millisecond.
INLINE_CHARACTERS = 4_096
# (texts, tokens each) computed at start: prepares common shapes and gives the first estimate of the speed.
WARM_UP = ((1, 16), (1, 32), (1, 48), (1, 64), (8, 32), (16, 32), (4, 128), (16, 32), (1, 32), (8, 64))


@dataclass(frozen=True)
class Loaded:
    """A model in memory."""

    engine: Engine
    tokenizer: TextTokenizer
    card: ModelCard
    normalize: bool
    speed: Speed


def load(settings: EmbedderSettings) -> Loaded:
    """Find, check, load and warm up the model; blocks. Raises `ModelError`."""
    began = time.perf_counter()
    root = source.find(
        settings.model, settings.model_revision, source.hub_download(settings.model_cache), lambda home: has_own_graph(describe(home))
    )
    model = describe(root)
    tokenizer = TextTokenizer(model.home / "tokenizer.json", model.max_tokens, special=model.kind != "static")
    engine = select(model, settings.precision)
    dimensions = settings.dimensions or engine.dimensions
    if dimensions > engine.dimensions:
        raise ModelError(f"RAG_DIMENSIONS={dimensions}, allowed: at most the model's {engine.dimensions}")
    speed = _warm_up(engine, model.max_tokens)
    card = ModelCard(
        id=settings.served_name,
        fingerprint=fingerprint(model, weight_files(model), tokenizer.source, dimensions),
        revision=settings.model_revision or None,
        dimensions=dimensions,
        max_tokens=model.max_tokens,
        query_prompt=model.query_prompt,
        document_prompt=model.document_prompt,
        pooling=model.pooling,
        normalized=model.normalize,
        engine=engine.name,
        precision=engine.precision,
    )
    logger.info("model loaded", extra={"seconds": round(time.perf_counter() - began, 3), **card.model_dump()})
    return Loaded(engine, tokenizer, card, model.normalize, speed)


def _warm_up(engine: Engine, max_tokens: int) -> Speed:
    speed = Speed()
    for rows, length in WARM_UP:
        texts = [np.ones(min(length, max_tokens), np.int32)] * rows
        engine.encode(texts)  # once for the shape, once for the time
        began = time.perf_counter()
        vectors = engine.encode(texts)
        speed.observe(sum(map(len, texts)), time.perf_counter() - began)
    if not np.isfinite(vectors).all():
        raise ModelError("the model computes NaN or infinity; are the weights damaged?")
    return speed


class Service:
    """Embeds texts through the queue. Made inside the event loop by `serving`."""

    def __init__(self, loaded: Loaded, limits: Limits, metrics: Metrics) -> None:
        self.card = loaded.card
        self.native_dimensions = loaded.engine.dimensions
        self.dimensions = loaded.card.dimensions or loaded.engine.dimensions
        self._tokenizer = loaded.tokenizer
        self._normalize = loaded.normalize
        self._engine = loaded.engine
        self._metrics = metrics
        # One thread each: the engine computes one batch at a time, and tokenising must not wait for it.
        self._compute_thread = ThreadPoolExecutor(1, "compute")
        self._token_thread = ThreadPoolExecutor(1, "tokens")
        self.scheduler = Scheduler(self._compute, limits, loaded.speed, metrics, padded=loaded.engine.padded)

    @property
    def tokenizer_json(self) -> bytes:
        """The model's tokenizer.json."""
        return self._tokenizer.source

    async def embed(self, texts: Sequence[str], lane: str, dimensions: int, deadline_in: float | None = None) -> tuple[Vectors, int, int]:
        """Vectors, tokens computed and texts cut. Cancelling it drops the texts. Raises `RequestError`."""
        tokenized = await self._tokenize(texts, cut=lane == LANE_QUERY)
        if tokenized.truncated:
            self._metrics.truncated(tokenized.truncated)
        call = self.scheduler.submit(tokenized.ids, lane, deadline_in)
        vectors = await self._result(call)
        return self._finish(vectors, dimensions), tokenized.tokens, tokenized.truncated

    async def _result(self, call: Call) -> Vectors:
        try:
            return await call.wait()
        except asyncio.CancelledError:
            self._metrics.dropped(call.lane, len(call.texts), "hang-up")
            raise

    async def _tokenize(self, texts: Sequence[str], *, cut: bool) -> Tokenized:
        encode = partial(self._tokenizer.encode, texts, cut=cut)
        if sum(map(len, texts)) <= INLINE_CHARACTERS:
            return encode()
        return await asyncio.get_running_loop().run_in_executor(self._token_thread, encode)

    async def _compute(self, texts: Sequence[TokenIds]) -> Vectors:
        return await asyncio.get_running_loop().run_in_executor(self._compute_thread, self._engine.encode, texts)

    def _finish(self, vectors: Vectors, dimensions: int) -> Vectors:
        kept = vectors[:, :dimensions]
        return normalized(kept) if self._normalize else kept

    def close(self) -> None:
        """End the threads."""
        self._compute_thread.shutdown(wait=False, cancel_futures=True)
        self._token_thread.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def serving(settings: EmbedderSettings, metrics: Metrics) -> AsyncIterator[Service]:
    """A loaded `Service` whose queue is worked on while the block runs."""
    # A download takes minutes, and the process may be told to end meanwhile.
    loaded = await in_daemon_thread(lambda: load(settings), "load")
    limits = Limits(settings.max_wait, settings.max_batch_tokens, settings.max_queue, settings.max_bulk_batch)
    service = Service(loaded, limits, metrics)
    metrics.follow(service.scheduler.queue_length)
    metrics.model(loaded.card.fingerprint or "", loaded.engine.name, loaded.engine.precision)
    owner = asyncio.create_task(service.scheduler.run())
    try:
        yield service
    finally:
        owner.cancel()
        with suppress(asyncio.CancelledError):
            await owner
        service.close()
