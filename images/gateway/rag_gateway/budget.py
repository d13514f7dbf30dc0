"""Making a prompt fit: maxModelLen minus the answer's tokens, by the generator's own count or a bound that never counts too few."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import ceil

from .errors import BadRequestError
from .prompt import Draft

Counter = Callable[[list[dict[str, str]]], Awaitable[int | None]]

# Each count costs a request to the generator; after these the bound decides, which always ends.
MAX_COUNTS = 6


async def fit(draft: Draft, limit: int, count: Counter | None) -> Draft:
    """`draft`, shortened until it has at most `limit` tokens. Raises `BadRequestError` when the question alone has more."""
    for _ in range(MAX_COUNTS):
        bound = draft.bound()
        if bound <= limit:
            return draft
        tokens = await count(draft.messages) if count else None
        if tokens is None:
            break
        if tokens <= limit:
            return draft
        draft = _shorter(draft, ceil((tokens - limit) * bound / tokens), limit)
    return _fit_by_bound(draft, limit)


def _fit_by_bound(draft: Draft, limit: int) -> Draft:
    while (bound := draft.bound()) > limit:
        draft = _shorter(draft, bound - limit, limit)
    return draft


def _shorter(draft: Draft, excess: int, limit: int) -> Draft:
    shorter = draft.shorter(excess)
    if shorter is None:
        raise BadRequestError(
            f"messages: the instructions and the question alone exceed the {limit} tokens that the model has for them",
            param="messages",
            code="context_length_exceeded",
        )
    return shorter
