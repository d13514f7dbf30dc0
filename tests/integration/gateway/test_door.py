"""Who is let in, what is refused, and how a gateway leaves."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from doubles.corpus import Indexed, answer_by, route, text_of
from doubles.embedder import EmbedderDouble
from doubles.gateway import LONG_PATIENCE, GatewayProcess, ask
from doubles.generator import GeneratorDouble

pytestmark = pytest.mark.asyncio(loop_scope="session")

Indexes = tuple[Indexed, Indexed]
STREAM: dict[str, Any] = {"messages": [{"role": "user", "content": "why?"}], "stream": True}


def _switch(directory: Path, version: str, keys: dict[str, str]) -> None:
    """Replace a Secret's files as the kubelet does: a new directory, and one link moved over the old."""
    fresh = directory / f"..{version}"
    fresh.mkdir(parents=True)
    for owner, key in keys.items():
        (fresh / owner).write_text(key)
        link = directory / owner
        if not link.is_symlink():
            link.symlink_to(f"..data/{owner}")
    pointer = directory / "..data_tmp"
    pointer.symlink_to(fresh.name)
    pointer.rename(directory / "..data")


async def test_a_changed_secret_changes_who_is_let_in(
    indexes: Indexes, small: EmbedderDouble, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    keys = tmp_path / "keys"
    _switch(keys, "1", {"alice": "sk-first"})
    async with GatewayProcess(tmp_path, RAG_API_KEYS_DIR=str(keys), **LONG_PATIENCE) as gateway:
        await answer_by(gateway, route("one", indexes[0], small))

        async def status(key: str | None, url: str = gateway.public) -> int:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            return (await ask(http, url + "/v1/retrieve", {"query": "why?"}, **headers))[0]

        assert [await status(key) for key in (None, "sk-wrong", "sk-first")] == [401, 401, 200]
        assert await status(None, gateway.preview) == 200  # evaluators have no key; a NetworkPolicy guards that port
        async with http.get(gateway.public + "/v1/models") as response:
            assert response.status == 401

        _switch(keys, "2", {"alice": "sk-second"})
        async with asyncio.timeout(60):
            while await status("sk-second") != 200:  # noqa: ASYNC110  it is another process
                await asyncio.sleep(0.05)
        assert await status("sk-first") == 401

        said = " ".join(str(entry) for entry in gateway.logs)
        assert "sk-" not in said


async def test_more_requests_than_may_run_are_told_to_come_back(
    indexes: Indexes, small: EmbedderDouble, generator: GeneratorDouble, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    generator.gate.clear()
    async with GatewayProcess(tmp_path, RAG_MAX_REQUESTS="2", **LONG_PATIENCE) as gateway:
        await answer_by(gateway, route("one", indexes[0], small, generator))
        url = gateway.public + "/v1/chat/completions"
        async with http.post(url, json=STREAM) as first, http.post(url, json=STREAM) as second:
            status, headers, error = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})
            generator.gate.set()
            texts = [await first.text(), await second.text()]
        later, _, _ = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})

    assert (status, headers["retry-after"], error["error"]["code"]) == (429, "1", "overloaded")
    assert all("[DONE]" in text for text in texts)
    assert later == 200


async def test_a_gateway_that_is_told_to_go_finishes_its_streams_first(
    indexes: Indexes, small: EmbedderDouble, generator: GeneratorDouble, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    generator.gate.clear()
    async with GatewayProcess(tmp_path, RAG_GRACE_SECONDS="120", **LONG_PATIENCE) as gateway:
        await answer_by(gateway, route("one", indexes[0], small, generator))
        async with http.post(gateway.public + "/v1/chat/completions", json=STREAM) as response:
            await response.content.readuntil(b"The answer")
            gateway.terminate()
            async with asyncio.timeout(60):
                while not any(entry["message"] == "draining" for entry in gateway.logs):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            # Who collects what a terminating gateway may use asks exactly this.
            assert await gateway.metric("rag_gateway_epoch_oldest_in_use") == 1
            generator.gate.set()
            rest = await response.text()
        assert "[DONE]" in rest
        async with asyncio.timeout(60):
            assert await gateway.ended() == 0


async def test_openais_own_client_understands_the_answers(
    indexes: Indexes, small: EmbedderDouble, generator: GeneratorDouble, gateway: GatewayProcess
) -> None:
    await answer_by(gateway, route("one", indexes[0], small, generator))
    async with AsyncOpenAI(base_url=gateway.public + "/v1", api_key="any", max_retries=0) as client:
        models = await client.models.list()
        whole = await client.chat.completions.create(model="handbook", messages=[{"role": "user", "content": text_of(1, 1)}])
        stream = await client.chat.completions.create(model="handbook", messages=[{"role": "user", "content": "?"}], stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert [model.id for model in models.data] == ["handbook"]
    assert whole.choices[0].message.content == "".join(pieces) == "The answer is [1]."
    assert whole.usage is not None
    assert whole.usage.prompt_tokens == 11
    assert whole.model_extra is not None
    assert whole.model_extra["citations"][0]["document"] == "docs/1.md"


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "names"),
    [
        ("/v1/chat/completions", {"messages": STREAM["messages"], "tools": []}, 400, "unsupported_parameter", "tools"),
        ("/v1/chat/completions", {"messages": STREAM["messages"], "max_tokens": 65}, 400, "invalid_value", "1 to 64"),
        ("/v1/chat/completions", {"messages": STREAM["messages"], "model": "gpt"}, 404, "model_not_found", "handbook"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 30_000}]}, 400, "context_length_exceeded", "question"),
        ("/v1/retrieve", {"query": "why?", "filter": {"field": "secret", "op": "eq", "value": 1}}, 400, "invalid_value", "department"),
        ("/v1/retrieve", {"query": "why?", "k": 0}, 400, "invalid_value", "1 to 1000"),
        ("/v1/elsewhere", {}, 404, "not_found", "/v1/retrieve"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(  # noqa: PLR0917
    path: str,
    body: Any,
    status: int,
    code: str,
    names: str,
    indexes: Indexes,
    small: EmbedderDouble,
    generator: GeneratorDouble,
    gateway: GatewayProcess,
    http: aiohttp.ClientSession,
) -> None:
    await answer_by(gateway, route("one", indexes[0], small, generator))
    errors = 'rag_gateway_requests_total{endpoint="chat",outcome="error",revision="one"}'
    before = await gateway.metric(errors)

    answered, _, error = await ask(http, gateway.public + path, body)

    assert (answered, error["error"]["code"]) == (status, code)
    assert names in error["error"]["message"]
    assert await gateway.metric(errors) == before  # a client's mistake is not the revision's


@pytest.mark.parametrize("raw", [b"", b"[1]", b'{"query": "\xff"}', b'{"query": ', b'{"query": "' + b"x" * (2 * 1024 * 1024) + b'"}'])
async def test_bodies_that_are_not_requests_are_refused(
    raw: bytes, indexes: Indexes, small: EmbedderDouble, gateway: GatewayProcess, http: aiohttp.ClientSession
) -> None:
    await answer_by(gateway, route("one", indexes[0], small))
    async with http.post(gateway.public + "/v1/retrieve", data=io.BytesIO(raw)) as response:
        assert response.status == (413 if len(raw) > 2**20 else 400)
        assert (await response.json())["error"]["message"]


async def test_a_question_is_embedded_once_for_as_long_as_its_vector_is_remembered(
    indexes: Indexes, small: EmbedderDouble, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with GatewayProcess(tmp_path, **LONG_PATIENCE) as gateway:
        await answer_by(gateway, route("one", indexes[0], small))
        first = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})
        await answer_by(gateway, route("two", indexes[0], small))  # another revision with the same model
        second = await ask(http, gateway.public + "/v1/retrieve", {"query": "why?"})
        cached = await gateway.metric("rag_gateway_query_vectors_cached_total")

    assert small.texts == ["query: why?"]
    assert cached == 1
    assert first[2]["results"] == second[2]["results"]
