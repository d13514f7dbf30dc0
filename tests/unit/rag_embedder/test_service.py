"""Loading a model, which may take minutes, in a process that may be told to end meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest
from prometheus_client import CollectorRegistry

from rag_embedder import service
from rag_embedder.errors import ModelError
from rag_embedder.metrics import Metrics
from rag_embedder.settings import EmbedderSettings

SETTINGS = EmbedderSettings.model_validate({"RAG_MODEL": "/nowhere"})


async def serve() -> None:
    async with service.serving(SETTINGS, Metrics("", "", CollectorRegistry())):
        raise AssertionError("nothing was loaded")


def test_a_process_that_is_told_to_end_does_not_wait_for_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, forever = threading.Event(), threading.Event()

    def load(_: EmbedderSettings) -> None:
        loading.set()
        forever.wait()

    async def told_to_end() -> None:
        task = asyncio.create_task(serve())
        await asyncio.get_running_loop().run_in_executor(None, loading.wait)
        task.cancel()
        await asyncio.wait([task])

    monkeypatch.setattr(service, "load", load)
    process = threading.Thread(target=lambda: asyncio.run(told_to_end()))
    process.start()
    try:
        process.join(10)
        assert not process.is_alive()
    finally:
        forever.set()
        process.join()


async def test_a_model_that_cannot_be_loaded_says_why() -> None:
    with pytest.raises(ModelError, match="'/nowhere' is not a directory"):
        await serve()
