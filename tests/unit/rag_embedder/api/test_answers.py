"""Answers as bytes."""

from __future__ import annotations

import base64
import json

import numpy as np

from rag_embedder.api import answers
from rag_embedder.errors import QueueFullError, bad_request

VECTORS = np.array([[0.1, -0.2], [3e-8, 1.0]], np.float32)


def test_base64_holds_little_endian_floats_bit_for_bit() -> None:
    data = json.loads(answers.embeddings(VECTORS[:, :1], "base64", "m", 5))["data"]
    decoded = np.concatenate([np.frombuffer(base64.b64decode(entry["embedding"]), "<f4") for entry in data])
    assert decoded.tobytes() == VECTORS[:, 0].tobytes()


def test_floats_read_back_as_the_same_numbers() -> None:
    answer = json.loads(answers.embeddings(VECTORS, "float", "m", 5))
    assert np.array([entry["embedding"] for entry in answer["data"]], np.float32).tolist() == VECTORS.tolist()
    assert [entry["index"] for entry in answer["data"]] == [0, 1]
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_a_refusal_is_openais_error_object() -> None:
    answer = answers.failure(bad_request("input[1] is empty", "input[1]"))
    error = {"message": "input[1] is empty", "type": "invalid_request_error", "param": "input[1]", "code": None}
    assert (answer.status, json.loads(answer.body)) == (400, {"error": error})


def test_shedding_load_says_when_to_come_back() -> None:
    answer = answers.failure(QueueFullError("full", 7))
    assert (answer.status, answer.headers) == (429, {"retry-after": "7"})
    assert json.loads(answer.body)["error"]["type"] == "server_error"
