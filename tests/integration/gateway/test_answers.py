from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from doubles.corpus import DOCUMENTS, NASTY, Indexed, answer_by, route, text_of
from doubles.embedder import EmbedderDouble
from doubles.gateway import GatewayProcess, ask
from doubles.generator import GeneratorDouble

pytestmark = pytest.mark.asyncio(loop_scope="session")

Indexes = tuple[Indexed, Indexed]


async def test_retrieve_finds_the_chunk_that_was_asked_for_and_says_who_answered(
    indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    epoch = await answer_by(gateway, route("one", indexes[0], small))

    status, headers, body = await ask(http, gateway.public + "/v1/retrieve", {"query": text_of(5, 2)})

    assert status == 200
    best = body["results"][0]
    assert (best["document"], best["uri"], best["title"], best["ordinal"]) == ("docs/5.md", "https://docs.example/5", "Title 5", 2)
    assert best["span"] == {"start": 200, "end": 200 + len(text_of(5, 2))}
    assert best["text"] == text_of(5, 2)
    assert best["score"] == pytest.approx(1.0, abs=1e-5)
    assert len(body["results"]) == 3  # the revision's own topK
    assert (headers["x-rag-revision"], headers["x-rag-epoch"]) == ("one", str(epoch))
    assert "x-rag-collection" not in headers  # for the preview port alone
    assert small.texts == ["query: " + text_of(5, 2)]  # with the model's own prompt


async def test_documents_are_grouped_until_there_are_enough(
    indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small))

    for k in (1, 10, DOCUMENTS, DOCUMENTS + 5):
        _, _, body = await ask(http, gateway.public + "/v1/retrieve", {"query": text_of(3, 0), "k": k, "groupBy": "document"})
        documents = [result["document"] for result in body["results"]]
        scores = [result["score"] for result in body["results"]]
        assert documents[0] == "docs/3.md"
        assert len(documents) == len(set(documents)) == min(k, DOCUMENTS)
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ({"field": "department", "op": "eq", "value": NASTY}, {7}),
        ({"field": "department", "op": "in", "value": ["none", NASTY]}, {7}),
        ({"all": [{"field": "year", "op": "gte", "value": 2003}, {"field": "year", "op": "lt", "value": 2006}]}, {3, 4, 5}),
        ({"any": [{"field": "score", "op": "eq", "value": 2.5}, {"field": "score", "op": "gt", "value": 7}]}, {10, 29}),
        ({"all": [{"field": "public", "op": "eq", "value": True}, {"field": "year", "op": "lte", "value": 2003}]}, {0, 3}),
        ({"all": [{"field": "tags", "op": "contains", "value": "t4"}, {"field": "year", "op": "lt", "value": 2010}]}, {4, 9}),
        ({"all": [{"field": "tags", "op": "containsAll", "value": ["all", "t1"]}, {"field": "year", "op": "lt", "value": 2005}]}, {1}),
        ({"all": [{"field": "tags", "op": "containsAny", "value": ["t0", "t1"]}, {"field": "year", "op": "lt", "value": 2002}]}, {0, 1}),
        ({"field": "score", "op": "in", "value": [2, 2.5]}, {8, 10}),
        ({"all": [{"field": "year", "op": "gt", "value": -(2**63) + 1}, {"field": "year", "op": "in", "value": [2001, 2002]}]}, {1, 2}),
        ({"all": [{"field": "score", "op": "lt", "value": 2**63}, {"field": "score", "op": "gt", "value": 7}]}, {29}),
        ({"all": [{"field": "score", "op": "gt", "value": -(2**63)}, {"field": "score", "op": "lt", "value": 0.25}]}, {0}),
        ({"not": {"field": "year", "op": "lt", "value": 2028}}, {28, 29}),
        ({"field": "department", "op": "eq", "value": 'x" or metadata["year"] > 0 or "'}, set()),
    ],
)
async def test_filters_mean_the_same_to_milvus(  # noqa: PLR0917
    clause: Any, expected: set[int], indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small))
    asked = {"query": text_of(1, 1), "k": DOCUMENTS, "groupBy": "document", "filter": clause}

    status, _, body = await ask(http, gateway.public + "/v1/retrieve", asked)

    assert status == 200, body
    assert {result["document"] for result in body["results"]} == {f"docs/{document}.md" for document in expected}


async def test_a_chat_is_answered_with_citations_and_without_markers_that_point_nowhere(
    indexes: Indexes, small: EmbedderDouble, generator: GeneratorDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    generator.pieces = ("It is so [1", "], as [9] and", " [2, 17] say [", "99].")
    await answer_by(gateway, route("one", indexes[0], small, generator))

    _, headers, body = await ask(http, gateway.public + "/v1/chat/completions", {"messages": [{"role": "user", "content": text_of(4, 1)}]})

    assert body["choices"][0]["message"]["content"] == "It is so [1], as and [2] say."
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == 15  # the generator's own count
    assert [citation["index"] for citation in body["citations"]] == [1, 2, 3]
    assert body["citations"][0].items() >= {"document": "docs/4.md", "uri": "https://docs.example/4"}.items()
    assert body["citations"][0]["span"] == {"start": 100, "end": 100 + len(text_of(4, 1))}
    assert "x-rag-mode" not in headers
    sent = generator.requests[0]
    assert sent["messages"][-1]["content"].count("<passage number=") == 3
    assert text_of(4, 1) in sent["messages"][-1]["content"]
    assert (sent["max_tokens"], sent["temperature"]) == (64, 0.0)


async def test_a_stream_begins_with_citations_and_ends_with_done(
    indexes: Indexes, small: EmbedderDouble, generator: GeneratorDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small, generator))
    asked = {"messages": [{"role": "user", "content": "why?"}], "stream": True, "stream_options": {"include_usage": True}}

    async with http.post(gateway.public + "/v1/chat/completions", json=asked) as response:
        events = [line[6:] for line in (await response.text()).splitlines() if line.startswith("data: ")]

    assert response.content_type == "text/event-stream"
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert len(chunks[0]["citations"]) == 3
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == "The answer is [1]."
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]][-1] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == 11


async def test_each_generation_has_a_connection_of_its_own_so_that_new_work_goes_where_a_service_sends_it(
    indexes: Indexes, small: EmbedderDouble, generator: GeneratorDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small, generator))
    for number in range(3):
        await ask(http, gateway.public + "/v1/chat/completions", {"messages": [{"role": "user", "content": f"why {number}?"}]})
    assert len(set(generator.callers)) == len(generator.callers) == 3


async def test_a_follow_up_is_searched_by_the_last_turns_with_the_newest_first(
    indexes: Indexes, small: EmbedderDouble, generator: GeneratorDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small, generator, retrieval={"top_k": 3, "query": "LastTurns", "turns": 2}))
    turns = [("user", "first"), ("assistant", "one"), ("user", "second"), ("assistant", "two"), ("user", "third")]

    await ask(http, gateway.public + "/v1/chat/completions", {"messages": [{"role": role, "content": text} for role, text in turns]})

    assert small.texts == ["query: third\nsecond"]
    assert [message["role"] for message in generator.requests[0]["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]


async def test_a_pipeline_without_a_generator_quotes(
    indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small))

    _, headers, body = await ask(http, gateway.public + "/v1/query", {"query": text_of(8, 0), "k": 1})

    assert body["answer"] == f"[1] Title 8 (https://docs.example/8)\n> {text_of(8, 0)}"
    assert body["citations"][0]["document"] == "docs/8.md"
    assert body["revision"] == "one"
    assert "x-rag-mode" not in headers  # this is what the pipeline is, not a fallback


async def test_a_long_conversation_is_shortened_by_the_generators_own_count(
    indexes: Indexes, small: EmbedderDouble, generator: GeneratorDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small, generator, max_model_len=512))
    turns = [{"role": "user" if i % 2 == 0 else "assistant", "content": f"turn {i} " + "x" * 400} for i in range(20)]

    status, _, _ = await ask(http, gateway.public + "/v1/chat/completions", {"messages": [*turns, {"role": "user", "content": "now?"}]})

    assert status == 200
    sent = generator.requests[0]["messages"]
    assert generator.counted >= 1
    assert sent[-1]["content"].endswith("Question: now?")
    assert sent[-1]["content"].count("<passage number=") == 3  # turns go before passages
    assert sent[1]["role"] == "user"
    assert len(sent) < 10


async def test_the_preview_port_obeys_the_revision_header_and_the_public_port_does_not(
    indexes: Indexes, small: EmbedderDouble, large: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("stable", indexes[0], small), route("candidate", indexes[1], large, weight=0))
    asked = {"query": text_of(2, 2)}

    _, public, _ = await ask(http, gateway.public + "/v1/retrieve", asked, x_rag_revision="candidate")
    _, preview, body = await ask(http, gateway.preview + "/v1/retrieve", asked, x_rag_revision="candidate")
    unknown, _, error = await ask(http, gateway.preview + "/v1/retrieve", asked, x_rag_revision="nobody")

    assert public["x-rag-revision"] == "stable"
    assert preview["x-rag-revision"] == body["revision"] == "candidate"
    assert (preview["x-rag-collection"], preview["x-rag-dimension"]) == (indexes[1].collection, "24")
    assert unknown == 404
    assert "stable, candidate" in error["error"]["message"]
    counted = 'rag_gateway_requests_total{endpoint="retrieve",outcome="ok",revision="%s"}'
    assert await gateway.metric(counted % "stable") == 1
    assert await gateway.metric(counted % "candidate") == 0  # the online gate must not see the evaluator's questions
