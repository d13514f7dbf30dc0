"""A model from a hub, with the hub's real client, from a small hub on loopback that serves MiniLM's files."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from cluster.models import model_dir
from integration.embedder.process import running_embedder
from rag_runtime.embeddings import EmbeddingsClient

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
REPOSITORY = "org/minilm"
# What a repository may also hold and nobody should fetch.
UNWANTED = {"pytorch_model.bin": b"\x80\x04", "modeling_custom.py": b"print('hello')", "onnx/model.onnx": b"onnx"}


class Hub:
    """The few endpoints that a snapshot download asks for. `asked` are the files whose bytes were sent."""

    def __init__(self) -> None:
        root = model_dir("minilm")
        self.files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()} | UNWANTED
        self.asked: list[str] = []

    async def tree(self, request: web.Request) -> web.Response:
        if request.match_info["revision"] != COMMIT:
            return web.json_response({"error": "Revision not found"}, status=404, headers={"x-error-code": "RevisionNotFound"})
        sizes = [{"type": "file", "path": name, "size": len(content), "oid": digest(content)} for name, content in self.files.items()]
        return web.json_response(sizes)

    async def resolve(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        content = self.files[name]
        headers = {"x-repo-commit": COMMIT, "etag": f'"{digest(content)}"'}
        if request.method == "GET":
            self.asked.append(name)
        return web.Response(body=content, headers=headers)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@asynccontextmanager
async def hub() -> AsyncIterator[tuple[Hub, str]]:
    served = Hub()
    app = web.Application()
    app.router.add_get("/api/models/org/minilm/tree/{revision}", served.tree)
    app.router.add_get("/org/minilm/resolve/{revision}/{file:.+}", served.resolve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield served, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_hub_id_at_its_commit_is_fetched_and_served_and_later_served_from_the_cache_without_the_hub(tmp_path: Path) -> None:
    env = {"RAG_MODEL": REPOSITORY, "RAG_MODEL_REVISION": COMMIT, "RAG_MODEL_CACHE": str(tmp_path), "HF_XET_HIGH_PERFORMANCE": "0"}
    async with hub() as (served, url):
        async with running_embedder(**env, HF_ENDPOINT=url) as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
            card = await client.describe()
            assert (await client.embed_queries(["from the hub"], timeout=30)).vectors.shape == (1, 384)
        assert "model.safetensors" in served.asked
        assert not set(UNWANTED) & set(served.asked)
    async with running_embedder(**env, HF_ENDPOINT=url) as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        assert await client.describe() == card
    assert card.revision == COMMIT
    assert card.fingerprint == "f12d40b254bd428462aab5f6a0ddecdad42b0607b6a23b21a928d49e4abae085"  # the same as from a directory


async def test_an_unknown_commit_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    async with hub() as (_, url):
        with pytest.raises(RuntimeError, match="failed to download org/minilm at 0000"):
            async with running_embedder(RAG_MODEL=REPOSITORY, RAG_MODEL_REVISION="0" * 40, RAG_MODEL_CACHE=str(tmp_path), HF_ENDPOINT=url):
                pass
