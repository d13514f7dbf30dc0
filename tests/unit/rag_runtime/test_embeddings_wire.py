"""Answers that no server should give."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_runtime import embeddings
from rag_runtime.embeddings import wire

ODD = (
    st.none() | st.integers(-1, 3) | st.text(max_size=4) | st.lists(st.none() | st.floats() | st.lists(st.floats(), max_size=2), max_size=3)
)


@given(st.lists(st.dictionaries(st.sampled_from(["index", "embedding"]), ODD), min_size=1, max_size=3), st.none() | st.integers(1, 3))
def test_an_answer_of_any_shape_is_one_vector_a_text_or_an_invalid_answer(data: list[dict[str, Any]], dimensions: int | None) -> None:
    try:
        vectors = wire.vectors_of(json.dumps({"data": data}).replace("Infinity", "1e999").encode(), len(data), dimensions)
    except embeddings.InvalidAnswerError:
        return
    assert vectors.shape == (len(data), dimensions or vectors.shape[1])


@pytest.mark.parametrize("row", [[[1.0]], [[1.0], [2.0]], [[1.0, 2.0]], [[1.0], 2.0]])
def test_a_list_of_lists_is_no_vector(row: list[Any]) -> None:
    with pytest.raises(embeddings.InvalidAnswerError, match="cannot be decoded"):
        wire.vectors_of(json.dumps({"data": [{"index": 0, "embedding": row}]}).encode(), 1, None)


@pytest.mark.parametrize("param", [7, ["input"], None])
def test_a_parameter_that_is_named_by_no_text_is_not_named(param: object) -> None:
    body = json.dumps({"error": {"message": "too long", "code": "context_length_exceeded", "param": param}})
    error = wire.failure(400, {}, body.encode())
    assert isinstance(error, embeddings.TextTooLongError)
    assert (error.param, error.index) == (None, None)
