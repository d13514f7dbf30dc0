"""From a request and one revision to an answer: passages, and what the generator makes of them.

Until the first token everything can still be taken back: when the generator fails before it, the passages are quoted and the answer says
so in `x-rag-mode`. After it, a failure is told as a failure.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rag_runtime.contracts.routing import GeneratorRoute, Route, Sampling

from . import filters, prompt
from .budget import fit
from .deadline import Deadline
from .errors import BadRequestError, UpstreamError
from .generator import Completion, GeneratorClient
from .metrics import Metrics
from .requests import ChatRequest, GroupBy
from .retrieval import Retrieved
from .upstreams import Upstreams

logger = logging.getLogger(__name__)

MODE_PASSAGES = "passages"
# The share of a model's length that stays for instructions, passages and question, however long an answer is allowed: one in four.
LEAST_PROMPT_SHARE = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """Passages, and the generation that uses them; `completion` None means that they are quoted. `degraded`: against the plan."""

    retrieved: Retrieved
    cited: tuple[Any, ...]
    completion: Completion | None
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What every step needs to know of a request: who answers, how long it may take, and whether it counts as live traffic."""

    route: Route
    upstreams: Upstreams
    deadline: Deadline
    preview: bool
    since: float


class Answering:
    """Carries out requests with a revision's upstreams."""

    def __init__(self, metrics: Metrics, retrieval_timeout: float) -> None:
        self._metrics = metrics
        self._retrieval_timeout = retrieval_timeout

    async def retrieve(self, asked: Asked, text: str, k: int | None, group_by: GroupBy, clause: Any) -> Retrieved:
        """Passages for `text`. Raises a `GatewayError`."""
        expression = filters.expression(asked.route.index.metadata, clause)
        began = time.monotonic()
        retrieved = await asked.upstreams.retriever.retrieve(
            text, k or asked.route.retrieval.top_k, group_by, expression, asked.deadline.within(self._retrieval_timeout)
        )
        seconds = time.monotonic() - began
        self._metrics.retrieved(asked.route.revision, seconds, len(retrieved.hits), preview=asked.preview)
        return retrieved

    async def chat(self, asked: Asked, request: ChatRequest) -> Answer:
        """An answer to the last question of a conversation, begun. Raises a `GatewayError`."""
        route, client = asked.route, asked.upstreams.generator
        sampling = sampling_for(route.sampling, route.generator, request) if route.generator else {}
        retrieved = await self.retrieve(asked, request.search_text(route.retrieval), request.k, "chunk", request.filter)
        if client is None:
            return Answer(retrieved, retrieved.hits, None)
        try:
            draft = await self._fitting(asked, client, _draft(route, request, retrieved), sampling["max_tokens"])
            completion = await client.complete(draft.messages, sampling, asked.deadline)
        except UpstreamError as error:
            logger.warning("quoting passages instead of generating", extra={"reason": error.message})
            return Answer(retrieved, retrieved.hits, None, degraded=True)
        self._metrics.token(route.revision, time.monotonic() - asked.since, preview=asked.preview)
        return Answer(retrieved, draft.hits, completion)

    async def _fitting(self, asked: Asked, client: GeneratorClient, whole: prompt.Draft, max_tokens: int) -> prompt.Draft:
        generator = client.route
        limit = generator.max_model_len - max_tokens

        async def count(messages: list[dict[str, str]]) -> int | None:
            with suppress(UpstreamError):
                return await client.count(messages, asked.deadline)
            return None

        return await fit(whole, limit, count if generator.tokenizer else None)


def _draft(route: Route, request: ChatRequest, retrieved: Retrieved) -> prompt.Draft:
    return prompt.draft(route.prompt, request.system, request.turns, request.question, retrieved.hits)


def sampling_for(own: Sampling, generator: GeneratorRoute, request: ChatRequest) -> Mapping[str, Any]:
    """The generator's parameters: the client's where it set them, and never more tokens than the revision and its prompt allow."""
    most = own.max_tokens
    if request.max_tokens is not None and request.max_tokens > most:
        raise BadRequestError(
            f"max_tokens: {request.max_tokens} is more than this pipeline allows, allowed: 1 to {most}", param="max_tokens"
        )
    room = generator.max_model_len - generator.max_model_len // LEAST_PROMPT_SHARE
    return {"temperature": own.temperature, **request.sampling, "max_tokens": min(request.max_tokens or most, room)}
