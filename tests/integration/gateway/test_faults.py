"""Upstreams that are dead, slow, half-open or lie: a bounded answer each time, and never a wrong one."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from doubles.corpus import Indexed, answer_by, route, text_of
from doubles.embedder import EmbedderDouble
from doubles.gateway import LONG_PATIENCE, GatewayProcess, ask
from doubles.generator import GeneratorDouble

pytestmark = pytest.mark.asyncio(loop_scope="session")

Indexes = tuple[Indexed, Indexed]
# The patience of the impatient gateway is 3 s, with room for a busy machine.
BOUND = 30.0
QUESTION = {"messages": [{"role": "user", "content": "why?"}]}


@pytest.mark.parametrize(
    ("fault", "status", "code", "retry_after"),
    [
        ("hang", 504, "deadline_exceeded", None),
        ("error", 503, "embedder_unavailable", "1"),
        ("overloaded", 503, "embedder_overloaded", "7"),
        ("nan", 502, "embedder_invalid", None),
        ("short", 502, "embedder_invalid", None),
        ("garbage", 502, "embedder_invalid", None),
    ],
)
async def test_an_embedder_that_fails_gives_a_bounded_and_plain_answer(  # noqa: PLR0917
    fault: str,
    status: int,
    code: str,
    retry_after: str | None,
    indexes: Indexes,
    small: EmbedderDouble,
    generator: GeneratorDouble,
    gateway: GatewayProcess,
    impatient: GatewayProcess,
    http: aiohttp.ClientSession,
) -> None:
    # One that is told to come back in 7 s does, when it has the time.
    gateway = impatient if fault in ("hang", "overloaded") else gateway
    await answer_by(gateway, route(f"embedder-{fault}", indexes[0], small, generator))
    small.fault = fault
    began = time.monotonic()

    for path, body in (("/v1/retrieve", {"query": "why?"}), ("/v1/chat/completions", {**QUESTION, "stream": True})):
        answered, headers, error = await ask(http, gateway.public + path, body)

        assert (answered, error["error"]["code"]) == (status, code)
        assert headers.get("retry-after") == retry_after
        assert headers["x-rag-revision"] == f"embedder-{fault}"
    assert time.monotonic() - began < 2 * BOUND
    assert generator.requests == []
    assert await gateway.metric(f'rag_gateway_requests_total{{endpoint="chat",outcome="error",revision="embedder-{fault}"}}') == 1

    small.fault = None
    assert (await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"}))[0] == 200


@pytest.mark.parametrize("names_fingerprint", [True, False])
async def test_vectors_of_another_model_are_never_searched_with(
    names_fingerprint: bool, indexes: Indexes, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    async with EmbedderDouble(8, fingerprint="other-weights", names_fingerprint=names_fingerprint) as changed:
        await answer_by(gateway, route("one", indexes[0], changed))

        status, _, error = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})

    assert (status, error["error"]["code"]) == (502, "fingerprint_mismatch")
    assert "other-weights" in error["error"]["message"]


async def test_a_dead_embedder_is_told_and_a_living_one_is_used_again(
    indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small))
    await small.stop()

    status, headers, error = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})
    await small.start()
    later, _, _ = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})

    assert (status, headers["retry-after"], error["error"]["code"]) == (503, "1", "embedder_unavailable")
    assert later == 200


async def test_a_caller_that_waits_no_longer_is_answered_in_its_time_and_upstreams_know_it(
    indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small))
    small.fault = "hang"
    began = time.monotonic()

    status, _, _ = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"}, x_rag_deadline_ms="2000")

    assert status == 504
    assert time.monotonic() - began < BOUND  # the gateway itself would wait for a minute
    assert 0 < int(small.deadlines[0] or 0) <= 60_000


@pytest.mark.parametrize("kind", ["dead", "half-open", "missing"])
async def test_an_index_that_cannot_be_searched_gives_a_bounded_and_plain_answer(  # noqa: PLR0917
    kind: str, indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, impatient: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    gateway = impatient if kind == "half-open" else gateway
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts, and never says a word
        silent = f"127.0.0.1:{listening.getsockname()[1]}"
        if kind == "dead":
            listening.close()
        index = indexes[0].route()
        changes = {"collection": "nothing_here"} if kind == "missing" else {"address": silent}
        whole = route(f"index-{kind}", indexes[0], small)
        await answer_by(gateway, whole.model_copy(update={"index": index.model_copy(update=changes)}))
        began = time.monotonic()

        status, headers, error = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})

    expected: dict[str, tuple[set[int], set[str]]] = {
        "dead": ({503}, {"index_unavailable"}),
        "half-open": ({503, 504}, {"index_unavailable", "deadline_exceeded"}),
        "missing": ({502}, {"index_rejected"}),
    }
    assert status in expected[kind][0]
    assert error["error"]["code"] in expected[kind][1]
    assert ("retry-after" in headers) == (status == 503)
    assert time.monotonic() - began < BOUND


async def test_a_collection_of_other_dimensions_is_refused_and_not_guessed_at(
    indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    mixed = route("mixed", indexes[0], small).model_copy(update={"index": indexes[1].route()})
    await answer_by(gateway, mixed)

    status, _, error = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})

    assert (status, error["error"]["code"]) == (502, "index_rejected")


@pytest.mark.parametrize("fault", ["refuse", "busy", "hang", "dead"])
@pytest.mark.parametrize("stream", [False, True])
async def test_before_its_first_token_a_failing_generator_is_replaced_by_quoted_passages(  # noqa: PLR0917
    fault: str,
    stream: bool,
    indexes: Indexes,
    small: EmbedderDouble,
    generator: GeneratorDouble,
    gateway: GatewayProcess,
    impatient: GatewayProcess,
    http: aiohttp.ClientSession,
) -> None:
    gateway = impatient if fault == "hang" else gateway
    revision = f"generator-{fault}-{stream}".lower()
    await answer_by(gateway, route(revision, indexes[0], small, generator))
    generator.fault = fault
    if fault == "dead":
        await generator.stop()
    began = time.monotonic()
    asked = {"messages": [{"role": "user", "content": text_of(6, 3)}], "stream": stream}

    async with http.post(gateway.public + "/v1/chat/completions", json=asked) as response:
        text = await response.text()

    assert response.status == 200
    assert response.headers["x-rag-mode"] == "passages"
    assert f"> {text_of(6, 3)}" in text
    assert ("data: [DONE]" in text) == stream
    assert time.monotonic() - began < BOUND
    assert await gateway.metric(f'rag_gateway_requests_total{{endpoint="chat",outcome="degraded",revision="{revision}"}}') == 1


@pytest.mark.parametrize("fault", ["hang_later", "cut", "error_later", "garbage_later", "no_reason"])
async def test_after_its_first_token_a_failure_cannot_be_read_as_success(  # noqa: PLR0917
    fault: str,
    indexes: Indexes,
    small: EmbedderDouble,
    generator: GeneratorDouble,
    gateway: GatewayProcess,
    impatient: GatewayProcess,
    http: aiohttp.ClientSession,
) -> None:
    gateway = impatient if fault == "hang_later" else gateway
    revision = "late-" + fault.replace("_", "-")
    await answer_by(gateway, route(revision, indexes[0], small, generator))
    generator.fault = fault

    async with http.post(gateway.public + "/v1/chat/completions", json={**QUESTION, "stream": True}) as response:
        events = [line[6:] for line in (await response.text()).splitlines() if line.startswith("data: ")]
    whole, _, error = await ask(http, gateway.public + "/v1/chat/completions", QUESTION)

    assert "[DONE]" not in events
    assert json.loads(events[-1])["error"]["code"] in ("generator_interrupted", "generator_invalid", "deadline_exceeded")
    assert not any(json.loads(event)["choices"][0]["finish_reason"] for event in events[:-1])
    assert whole in (502, 504)
    assert "error" in error
    assert await gateway.metric(f'rag_gateway_requests_total{{endpoint="chat",outcome="error",revision="{revision}"}}') == 2


async def test_a_caller_that_hangs_up_ends_the_generation(
    indexes: Indexes, small: EmbedderDouble, generator: GeneratorDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("hangup", indexes[0], small, generator))
    generator.gate.clear()
    asked: dict[str, Any] = {**QUESTION, "stream": True}

    async with http.post(gateway.public + "/v1/chat/completions", json=asked) as response:
        await response.content.readuntil(b"The answer")
        response.close()

    async with asyncio.timeout(BOUND):
        await generator.aborted.wait()
    assert await gateway.metric('rag_gateway_requests_total{endpoint="chat",outcome="error",revision="hangup"}') == 0


async def test_a_caller_that_hangs_up_takes_the_vector_from_nobody(
    indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("shared", indexes[0], small))
    asked = {"query": "the same question"}
    small.fault = "hold"

    first = asyncio.create_task(ask(http, gateway.public + "/v1/retrieve", asked))
    async with asyncio.timeout(BOUND):
        await small.asked.wait()
    second = asyncio.create_task(ask(http, gateway.public + "/v1/retrieve", asked))
    await gateway.reaches("rag_gateway_in_flight", 2)  # it is there; whether it joined is seen in what the embedder was asked
    first.cancel()
    small.release.set()

    status, _, _ = await second
    assert status == 200
    assert small.texts == ["query: the same question"]


async def test_a_caller_that_does_not_read_its_answer_does_not_keep_its_epoch_for_ever(
    indexes: Indexes, small: EmbedderDouble, large: EmbedderDouble, generator: GeneratorDouble, tmp_path: Path
) -> None:
    generator.pieces = ("x" * 2**18,) * 256  # more than every buffer on the way holds
    async with GatewayProcess(tmp_path, **{**LONG_PATIENCE, "RAG_REQUEST_TIMEOUT": "15s"}) as gateway:
        await answer_by(gateway, route("one", indexes[0], small, generator))
        port = int(gateway.public.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**12)
        body = json.dumps({**QUESTION, "stream": True}).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"\r\n\r\n")
        await answer_by(gateway, route("two", indexes[1], large))
        assert await gateway.metric("rag_gateway_epoch_oldest_in_use") == 1

        async with asyncio.timeout(2 * BOUND):
            while await gateway.metric("rag_gateway_epoch_oldest_in_use") == 1:  # noqa: ASYNC110  it is another process
                await asyncio.sleep(0.05)
        writer.close()
