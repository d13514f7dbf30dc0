"""How long an answer may be, and what that leaves for its prompt."""

from __future__ import annotations

import pytest

from rag_gateway.answering import sampling_for
from rag_gateway.errors import BadRequestError
from rag_gateway.requests import chat_request
from rag_runtime.contracts.routing import GeneratorRoute, Sampling


def tokens(*, length: int, most: int, wanted: int | None = None) -> int:
    """Tokens that the generator is asked for."""
    request = chat_request({"messages": [{"role": "user", "content": "why?"}], "max_tokens": wanted})
    generator = GeneratorRoute(url="http://g", model="m", max_model_len=length)
    found: int = sampling_for(Sampling(max_tokens=most), generator, request)["max_tokens"]
    return found


@pytest.mark.parametrize(
    ("length", "most", "wanted", "expected"),
    [
        (8192, 512, None, 512),
        (8192, 512, 20, 20),
        (8192, 6000, None, 6000),
        (8192, 8191, None, 6144),
        (8192, 8191, 8000, 6144),
        (8192, 100_000, 100_000, 6144),
        (256, 512, None, 192),
    ],
)
def test_an_answer_leaves_a_quarter_of_the_models_length_for_its_prompt(length: int, most: int, wanted: int | None, expected: int) -> None:
    assert tokens(length=length, most=most, wanted=wanted) == expected


def test_a_client_that_wants_more_than_the_pipeline_allows_is_refused() -> None:
    with pytest.raises(BadRequestError, match="max_tokens: 513 is more than this pipeline allows, allowed: 1 to 512"):
        tokens(length=8192, most=512, wanted=513)
