"""The embedder as its callers see it: a real process, real weights, HTTP."""

from __future__ import annotations

import base64
import functools
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import openai
import pytest
import pytest_asyncio

from cluster.models import model_dir
from integration.embedder.process import EmbedderProcess, running_embedder
from rag_embedder.model import weights
from rag_embedder.tokens import TextTokenizer
from rag_runtime.embeddings import EmbeddingsClient, TextTooLongError
from unit.rag_embedder.engines import bert_reference

TEXTS = [
    "What similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft?",
    "ok",
    "The boundary layer separates where the pressure gradient turns adverse; see also figure 3.",
    "SELECT name FROM users WHERE id = 1;",
    "Привет, мир. 你好，世界。 Ångström ﬁne ½",
    "a much longer passage about the flow around wings, " * 12,
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def embedder() -> AsyncIterator[EmbedderProcess]:
    async with running_embedder() as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(embedder: EmbedderProcess, body: bytes | dict[str, Any], **headers: str) -> tuple[int, dict[str, Any], Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as client, client.post(f"{embedder.url}/v1/embeddings", data=data, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


@functools.cache
def exact_vectors() -> np.ndarray[Any, np.dtype[np.float64]]:
    """MiniLM in float64, straight from the weights."""
    home = model_dir("minilm")
    config = json.loads((home / "config.json").read_text())
    ids = TextTokenizer(home / "tokenizer.json", 256, special=True).encode(TEXTS, cut=True).ids
    tensors = {name: values.astype(np.float64) for name, values in weights.load(home).items()}
    vectors = np.stack([bert_reference.encode(config, tensors, text.tolist(), pooling="mean") for text in ids])
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize(("precision", "mean", "worst"), [("Float32", 0.999999, 0.999999), ("Auto", 0.999, 0.999), ("Int8", 0.998, 0.99)])
async def test_vectors_are_the_models_within_the_bounds_of_each_precision(precision: str, mean: float, worst: float) -> None:
    async with running_embedder(RAG_PRECISION=precision) as running, EmbeddingsClient(running.url, "minilm") as client:
        found = await client.embed_queries(TEXTS, timeout=60)
    cosines = (found.vectors * exact_vectors()).sum(axis=1)
    assert cosines.mean() >= mean
    assert cosines.min() >= worst
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)


async def test_the_card_says_what_is_served_and_each_answer_carries_its_fingerprint(embedder: EmbedderProcess) -> None:
    async with EmbeddingsClient(embedder.url, "minilm") as client:
        card = await client.describe()
        found = await client.embed_documents(["a passage"], timeout=30)
        tokenizer = await client.tokenizer()
    assert (card.dimensions, card.max_tokens, card.pooling, card.normalized, card.query_prompt) == (384, 256, "mean", True, "")
    assert card.fingerprint == "f12d40b254bd428462aab5f6a0ddecdad42b0607b6a23b21a928d49e4abae085"  # as long as the weights are these
    assert found.fingerprint == card.fingerprint
    assert tokenizer == (model_dir("minilm") / "tokenizer.json").read_bytes()


async def test_openais_own_client_gets_the_same_vectors_as_floats_and_as_base64(embedder: EmbedderProcess) -> None:
    async with openai.AsyncOpenAI(base_url=f"{embedder.url}/v1", api_key="none", max_retries=0) as client:
        packed = await client.embeddings.create(model="minilm", input=TEXTS)
        plain = await client.embeddings.create(model="minilm", input=TEXTS, encoding_format="float")
        listed = [model.id async for model in client.models.list()]
    assert listed == ["minilm"]
    assert np.array([entry.embedding for entry in plain.data]) == pytest.approx(
        np.array([entry.embedding for entry in packed.data]), abs=2e-3
    )
    assert plain.usage.prompt_tokens > 0


async def test_smaller_dimensions_are_the_first_ones_normalised_again(embedder: EmbedderProcess) -> None:
    async with EmbeddingsClient(embedder.url, "minilm") as whole, EmbeddingsClient(embedder.url, "minilm", dimensions=32) as part:
        full = (await whole.embed_queries(TEXTS[:1], timeout=30)).vectors[:, :32]
        cut = (await part.embed_queries(TEXTS[:1], timeout=30)).vectors
    assert cut == pytest.approx(full / np.linalg.norm(full), abs=1e-5)


async def test_an_embedder_of_smaller_dimensions_serves_them_unasked_and_is_another_model(embedder: EmbedderProcess) -> None:
    async with running_embedder(RAG_DIMENSIONS="32") as small, EmbeddingsClient(small.url, "minilm") as client:
        card = await client.describe()
        assert (await client.embed_queries(["a"], timeout=30)).vectors.shape == (1, 32)
    async with EmbeddingsClient(embedder.url, "minilm") as client:
        assert (await client.describe()).fingerprint != card.fingerprint


async def test_the_static_model_is_served_from_its_table() -> None:
    async with running_embedder("static") as running, EmbeddingsClient(running.url, "static") as client:
        found = (await client.embed_queries(TEXTS[:2], timeout=30)).vectors
    home = model_dir("static") / "0_StaticEmbedding"
    table = weights.load(home)["embedding.weight"]
    ids = TextTokenizer(home / "tokenizer.json", 8192, special=False).encode(TEXTS[:2], cut=True).ids
    expected = np.stack([table[text].astype(np.float64).mean(axis=0) for text in ids])
    assert found == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-6)


async def test_2048_texts_are_embedded_in_order_and_2049_are_refused(embedder: EmbedderProcess) -> None:
    texts = [f"text {number}" for number in range(2048)]
    async with EmbeddingsClient(embedder.url, "minilm") as client:
        many = (await client.embed_documents(texts, timeout=120)).vectors
        few = (await client.embed_queries([texts[0], texts[1000], texts[2047]], timeout=30)).vectors
    assert (many[[0, 1000, 2047]] * few).sum(axis=1).min() >= 0.999
    status, answer, _ = await post(embedder, {"model": "minilm", "input": [*texts, "one more"]})
    assert (status, answer["error"]["message"]) == (400, "input has 2049 texts, allowed: at most 2048")


async def test_an_over_long_text_is_cut_and_flagged_for_a_query_and_refused_in_bulk(embedder: EmbedderProcess) -> None:
    long = "wing " * 400
    async with EmbeddingsClient(embedder.url, "minilm") as client:
        cut = await client.embed_queries(["short", long], timeout=30)
        assert cut.truncated == 1
        with pytest.raises(TextTooLongError, match=r"input\[1\] has 402 tokens, allowed: at most 256 tokens") as refused:
            await client.embed_documents(["short", long], timeout=30)
    assert refused.value.index == 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"model": "minilm", "input": "\xff"}', 400, "the body is not valid JSON in UTF-8"),
        (b'{"model": "minilm", "input": ""}', 400, "input[0] is empty"),
        (b'{"model": "bge", "input": "a"}', 404, "model: 'bge' is not served here, allowed: minilm"),
        (b"", 400, "the body is not valid JSON"),
    ],
)
async def test_bad_requests_get_one_clear_error_over_http(embedder: EmbedderProcess, body: bytes, status: int, said: str) -> None:
    found, answer, headers = await post(embedder, body, **{"x-request-id": "r-5"})
    assert found == status
    assert said in answer["error"]["message"]
    assert headers["x-request-id"] == "r-5"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/embeddings", 405), ("POST", "/v1/models", 405), ("GET", "/", 404), ("GET", "/v1/../etc", 404)],
)
async def test_unknown_paths_and_methods_are_openai_errors_too(embedder: EmbedderProcess, method: str, path: str, status: int) -> None:
    async with aiohttp.ClientSession() as client, client.request(method, embedder.url + path) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["message"]


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_beyond_the_bound_is_refused_whether_or_not_its_length_is_declared(embedder: EmbedderProcess, declared: bool) -> None:
    piece = b" " * (1 << 20)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield piece

    body: Any = io.BytesIO(piece * 40) if declared else endless()
    async with aiohttp.ClientSession() as client:
        try:
            async with client.post(f"{embedder.url}/v1/embeddings", data=body) as answer:
                assert answer.status == 413
        except aiohttp.ClientConnectionError:
            pass  # the server answered and closed while the rest was still being sent
        async with client.post(f"{embedder.url}/v1/embeddings", json={"model": "minilm", "input": "still there"}) as answer:
            assert answer.status == 200


async def test_base64_decodes_to_the_served_dimensions(embedder: EmbedderProcess) -> None:
    _, answer, _ = await post(embedder, {"model": "minilm", "input": "a", "encoding_format": "base64"})
    assert len(base64.b64decode(answer["data"][0]["embedding"])) == 384 * 4
