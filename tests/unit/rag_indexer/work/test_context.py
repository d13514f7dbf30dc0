"""A collection is made only for work that is still asked for; an embedder's tokenizer, or a key for it, is used only if it is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doubles.embedder import EmbedderDouble
from doubles.ragindex import manifest
from rag_indexer.chunking.tokens import BoundedTokens, ModelTokens
from rag_indexer.errors import EmbedderError, PermanentError
from rag_indexer.reporting import NoSink
from rag_indexer.settings import Settings
from rag_indexer.sources.opening import Surroundings
from rag_indexer.work.context import Context
from rag_runtime.contracts.index import EmbedderAccess, Index

BUILD = {"mode": "Build", "attempt": 2}
INDEX = manifest("milvus:19530", "http://embedder", name="handbook-index-a", work=BUILD)


class Server:
    """An API server that knows one RAGIndex, or none any more."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        self.found = found

    async def index(self, name: str) -> dict[str, Any] | None:
        assert name == "handbook-index-a"
        return self.found


class Store:
    """A store that counts."""

    def __init__(self) -> None:
        self.created = 0

    def create(self, *_: object) -> None:
        self.created += 1


async def create(found: dict[str, Any] | None, tmp_path: Path) -> Store:
    around = Surroundings(tmp_path, tmp_path, tmp_path)
    context, store = Context(Settings(), NoSink(), around, Server(found)), Store()  # type: ignore[arg-type]
    try:
        await context.create(Index.model_validate(INDEX), store)  # type: ignore[arg-type]
    except PermanentError:
        assert not store.created
        raise
    return store


def asking(**spec: Any) -> dict[str, Any]:
    return {**INDEX, "spec": {**INDEX["spec"], **spec}}


async def test_what_is_still_asked_for_is_made(tmp_path: Path) -> None:
    assert (await create(INDEX, tmp_path)).created == 1


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (None, "nothing"),
        (asking(work={"mode": "Stop", "attempt": 2}), "Stop"),
        (asking(work={"mode": "Build", "attempt": 3}), "Build"),
        (asking(collecting=True), "Build"),
    ],
    ids=["the index is gone", "its writers are stopped", "another attempt runs", "it is being collected"],
)
async def test_nothing_is_made_for_work_that_was_called_off(found: dict[str, Any] | None, asked: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=f"asks for {asked} now, not for this Build"):
        await create(found, tmp_path)


async def tokens(offered: bytes | None, tmp_path: Path) -> object:
    context = Context(Settings(), NoSink(), Surroundings(tmp_path, tmp_path, tmp_path))
    async with EmbedderDouble(8) as double:
        double.tokenizer = offered
        model = await context.model(EmbedderAccess(url=double.url, model="double", dimensions=8))
        await context.close()
    return model.tokens


async def test_the_tokenizer_that_an_embedder_offers_is_used(tmp_path: Path) -> None:
    whole = b'{"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}'
    assert isinstance(await tokens(whole, tmp_path), ModelTokens)


@pytest.mark.parametrize("offered", [None, b"", b"<html>welcome</html>", b'{"error": "not found"}', b"\xff\xfe"])
async def test_an_embedder_that_offers_something_else_has_no_tokenizer(offered: bytes | None, tmp_path: Path) -> None:
    assert isinstance(await tokens(offered, tmp_path), BoundedTokens)


async def test_a_secret_that_holds_no_api_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "openai").mkdir()
    (tmp_path / "openai" / "apiKey").write_text("sk-1\nsk-2\n")
    context = Context(Settings(), NoSink(), Surroundings(tmp_path, tmp_path, tmp_path))
    access = EmbedderAccess.model_validate(
        {"url": "http://127.0.0.1:9", "model": "m", "dimensions": 8, "credentialsSecretRef": {"name": "openai"}}
    )
    with pytest.raises(EmbedderError, match="the credentials 'openai' hold no API key") as told:
        await context.model(access)
    assert "sk-" not in str(told.value)
