"""Answers that no server should give."""

from __future__ import annotations

import json
from typing import Any

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
