from __future__ import annotations

from typing import Any

import pytest

from rag_gateway.deadline import EARLY_SECONDS, Deadline, asked_for
from rag_gateway.errors import BadRequestError, DeadlineExceededError, GatewayError
from rag_gateway.prompt import Turn
from rag_gateway.requests import body_of, chat_request, query_request, retrieve_request
from rag_runtime.contracts.routing import Retrieval

USER = {"role": "user", "content": "why?"}


def test_a_chat_is_parsed_into_system_turns_and_question() -> None:
    request = chat_request(
        {
            "messages": [
                {"role": "system", "content": "S1"},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": "c", "refusal": None},
                {"role": "developer", "content": "S2"},
                USER,
            ],
            "max_completion_tokens": 9,
            "temperature": 0.5,
            "stop": "x",
            "n": 1,
            "tools": None,
            "rag": {"k": 4, "filter": {"f": 1}},
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )

    assert (request.system, request.turns, request.question) == ("S1\n\nS2", (Turn("user", "a\nb"), Turn("assistant", "c")), "why?")
    assert (request.k, request.filter, request.max_tokens, request.stream, request.include_usage) == (4, {"f": 1}, 9, True, True)
    assert request.sampling == {"temperature": 0.5, "stop": ["x"]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": [USER], "tools": []}, "tools: this parameter is not supported, allowed: model, messages"),
        ({"messages": [USER], "response_format": {"type": "json_object"}}, "response_format: this parameter is not supported"),
        ({"messages": [USER], "logprobs": True}, "logprobs: this parameter"),
        ({"messages": [USER], "n": 2}, "n: 2 is not supported, allowed: 1"),
        ({"messages": [USER], "temperature": 3}, "temperature: 3 is not a number from 0 to 2"),
        ({"messages": [USER], "temperature": True}, "temperature: True is not a number"),
        ({"messages": [USER], "seed": 1.5}, "seed: 1.5 is not a 64-bit integer"),
        ({"messages": [USER], "stop": []}, "stop: [] is not a text or a list of 1 to 4 texts"),
        ({"messages": [USER], "max_tokens": 0}, "max_tokens: 0 is not a number of at least 1"),
        ({"messages": [USER], "stream": "yes"}, "stream: 'yes' is not true or false"),
        ({"messages": [USER], "stream_options": {"include_usage": True}}, "only with stream: true"),
        ({"messages": [USER], "stream": True, "stream_options": {"x": 1}}, "stream_options.x: this parameter"),
        ({"messages": [USER], "rag": {"mode": "x"}}, "rag.mode: this parameter is not supported, allowed: rag.k, rag.filter"),
        ({"messages": [USER], "rag": {"k": 1001}}, "rag.k: 1001 is not a number from 1 to 1000"),
        ({"messages": [USER], "user": 5}, "user: 5 is not a text"),
        ({}, "messages: a list of 1 to 1000 messages is required"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "the last must be the user's"),
        ({"messages": [{"role": "user", "content": "  "}]}, "the last must be the user's and not empty"),
        ({"messages": [{"role": "tool", "content": "x"}, USER]}, "messages[0].role: 'tool' is not supported"),
        ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [1]}, USER]}, "messages[0].tool_calls: this parameter"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]: only parts of type text"),
        ({"messages": [{"role": "user", "content": "x" * 70_000}]}, "70000 characters"),
    ],
)
def test_a_chat_that_cannot_be_answered_is_refused_by_the_name_of_what_is_wrong(body: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        chat_request(body)

    assert message in refused.value.message
    assert refused.value.param


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "query: a text that is not empty is required"),
        ({"query": ""}, "query: a text"),
        ({"query": ["a"]}, "query: a text"),
        ({"query": "a", "k": "3"}, "k: '3' is not a number from 1 to 1000"),
        ({"query": "a", "k": True}, "k: True is not"),
        ({"query": "a", "groupBy": "page"}, "groupBy: 'page' is not known, allowed: chunk, document"),
        ({"query": "a", "expr": "true"}, "expr: this parameter is not supported, allowed: query, k, groupBy, filter"),
    ],
)
def test_a_retrieval_that_cannot_be_done_is_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        retrieve_request(body)

    assert message in refused.value.message


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b'{"a": "\xff"}'])
def test_a_body_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequestError) as refused:
        body_of(raw)

    assert refused.value.error_code == "invalid_json"


def test_the_search_text_of_a_follow_up_begins_with_the_newest_turn() -> None:
    turns = [("user", "one"), ("assistant", "1"), ("user", "two"), ("assistant", "2"), ("user", "three")]
    request = chat_request({"messages": [{"role": role, "content": text} for role, text in turns]})

    assert request.search_text(Retrieval()) == "three"
    assert request.search_text(Retrieval(query="LastTurns", turns=2)) == "three\ntwo"
    assert request.search_text(Retrieval(query="LastTurns", turns=9)) == "three\ntwo\none"
    assert query_request({"query": "q"}).search_text(Retrieval(query="LastTurns")) == "q"


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_counts_down_and_says_what_was_being_done() -> None:
    clock = _Clock()
    deadline = Deadline(5, clock)
    shorter = deadline.within(2)

    clock.now = 101.5
    assert (deadline.remaining("x"), shorter.remaining("x")) == (3.5, 0.5)
    assert deadline.within(60).remaining("x") == 3.5
    clock.now = 102.0
    with pytest.raises(DeadlineExceededError, match="the time ran out while searching"):
        shorter.remaining("searching")


def test_a_caller_can_shorten_its_time_but_not_lengthen_it() -> None:
    given = [asked_for(header, 10.0, lambda: 0.0).remaining("x") for header in (None, "2500", "99999999")]
    assert given == [10.0, 2.5, 10.0]
    for wrong in ("", "0", "-5", "1.5", "soon", "²", "9" * 13, "9" * 400, "9" * 5_000):
        with pytest.raises(BadRequestError, match=r"x-rag-deadline-ms: '.{0,40}', allowed: whole milliseconds"):
            asked_for(wrong, 10.0)


def test_a_callers_own_time_is_over_a_little_before_its_end_for_what_it_asks_is_told_whole_milliseconds() -> None:
    now = 0.0
    callers, gateways = (asked_for(header, 10.0, lambda: now) for header in ("1000", None))
    assert not callers.given_up
    now = 1.0 - EARLY_SECONDS
    assert callers.given_up
    now = 10.0
    assert not gateways.given_up


def test_an_error_has_openais_shape() -> None:
    error = BadRequestError("k: too many", param="k")

    assert error.body() == {"error": {"message": "k: too many", "type": "invalid_request_error", "code": "invalid_value", "param": "k"}}
    assert GatewayError("x").status == 500


def test_a_parameter_that_is_null_is_not_given() -> None:
    nothing: dict[str, Any] = dict.fromkeys(("k", "groupBy", "filter", "user", "expr"))
    assert retrieve_request({"query": "a", **nothing}) == retrieve_request({"query": "a"})


@pytest.mark.parametrize(("asked", "sent"), [(0, 1e-6), (0.3, 0.3), (1, 1)])
def test_the_likeliest_token_alone_is_asked_for_as_every_generator_takes_it(asked: float, sent: float) -> None:
    assert chat_request({"messages": [USER], "top_p": asked}).sampling == {"top_p": sent}
