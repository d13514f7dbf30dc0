"""Parsing requests: every refusal names the field, the value and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag_embedder.api import requests
from rag_embedder.errors import RequestError


def parse(**asked: Any) -> requests.EmbeddingRequest:
    return requests.parse(json.dumps({"model": "minilm", **asked}).encode(), "minilm", 384, 384)


@pytest.mark.parametrize(
    ("asked", "param", "said"),
    [
        ({"input": ""}, "input[0]", "input[0] is empty"),
        ({"input": ["a", " \n\t"]}, "input[1]", "input[1] is empty"),
        ({"input": []}, "input", "input is an empty array, allowed: a text or an array of 1 to 2048 texts"),
        ({}, "input", "input is missing"),
        ({"input": 7}, "input", "input is a number"),
        ({"input": ["a", 3]}, "input[1]", "arrays of tokens are not supported"),
        ({"input": [[1, 2]]}, "input[0]", "input[0] is an array"),
        ({"input": ["a"] * 2049}, "input", "input has 2049 texts, allowed: at most 2048"),
        ({"input": "a", "dimensions": 0}, "dimensions", "dimensions: 0, allowed: 1 to 384"),
        ({"input": "a", "dimensions": 385}, "dimensions", "dimensions: 385, allowed: 1 to 384"),
        ({"input": "a", "dimensions": True}, "dimensions", "dimensions: True"),
        ({"input": "a", "dimensions": "32"}, "dimensions", "allowed: 1 to 384"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "'hex', allowed: float, base64"),
        ({"input": "a", "truncate": True}, "truncate", "truncate: unknown parameter"),
        ({"input": "a", "model": None}, "model", "model is missing, allowed: minilm"),
    ],
)
def test_what_is_wrong_is_refused_with_400_and_named(asked: dict[str, Any], param: str, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(**asked)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert said in refused.value.message


def test_another_models_name_is_404_and_says_which_is_served() -> None:
    with pytest.raises(RequestError) as refused:
        parse(input="a", model="bge")
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")
    assert "'bge' is not served here, allowed: minilm" in refused.value.message


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"model": "minilm", "input": "\xff\xfe"}', b'{"model":"minilm","input":"\\ud800"}', b"[1]", b'"text"']
)
def test_what_is_no_json_object_in_utf8_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        requests.parse(body, "minilm", 384, 384)
    assert refused.value.status == 400
    assert refused.value.message.startswith("the body is")


def test_a_single_text_floats_and_the_served_dimensions_are_the_defaults() -> None:
    asked = requests.parse(b'{"model":"minilm","input":"hello","user":"u1"}', "minilm", 384, 32)
    assert (asked.texts, asked.encoding, asked.dimensions) == (["hello"], "float", 32)


def test_a_parameter_that_is_null_is_not_given() -> None:
    nothing: dict[str, Any] = dict.fromkeys(("encoding_format", "dimensions", "user", "truncate"))
    assert parse(input="a", **nothing) == parse(input="a")


def test_2048_texts_are_taken() -> None:
    assert len(parse(input=["a"] * 2048).texts) == 2048


@pytest.mark.parametrize(("sent", "lane"), [({}, "query"), ({b"x-rag-lane": b"bulk"}, "bulk"), ({b"x-rag-lane": b"query"}, "query")])
def test_the_lane_is_query_unless_a_header_says_bulk(sent: dict[bytes, bytes], lane: str) -> None:
    assert requests.lane_of(sent) == lane


def test_another_lane_is_refused() -> None:
    with pytest.raises(RequestError, match="'fast', allowed: query, bulk"):
        requests.lane_of({b"x-rag-lane": b"fast"})


@pytest.mark.parametrize("value", [b"soon", b"-5", b"1.5", b"9" * 13])
def test_a_deadline_that_is_not_whole_milliseconds_is_refused(value: bytes) -> None:
    with pytest.raises(RequestError, match="allowed: whole milliseconds"):
        requests.deadline_of({b"x-rag-deadline-ms": value})


def test_a_deadline_is_seconds_and_its_absence_none() -> None:
    assert requests.deadline_of({b"x-rag-deadline-ms": b"1500"}) == 1.5
    assert requests.deadline_of({}) is None
