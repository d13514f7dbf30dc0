"""A collection is made only for work that is still asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doubles.ragindex import manifest
from rag_indexer.errors import PermanentError
from rag_indexer.reporting import NoSink
from rag_indexer.settings import Settings
from rag_indexer.sources.opening import Surroundings
from rag_indexer.work.context import Context
from rag_runtime.contracts.index import Index

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
