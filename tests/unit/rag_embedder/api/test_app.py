"""What is counted of answers that nobody meant to give."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from rag_embedder.api.app import EmbedderApp
from rag_embedder.metrics import Metrics


async def test_an_unexpected_failure_is_counted_as_the_500_that_it_is() -> None:
    async def fails(*_: object) -> None:
        raise KeyError("surprise")

    registry = CollectorRegistry()
    service: Any = SimpleNamespace(card=SimpleNamespace(id="m"), native_dimensions=4, dimensions=4, embed=fails)
    app = EmbedderApp(lambda: service, Metrics("", "", registry))
    messages = [{"type": "http.request", "body": b'{"model": "m", "input": "a"}'}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/v1/embeddings", "headers": []}, receive, send)

    assert sent[0]["status"] == 500
    assert registry.get_sample_value("rag_embedder_requests_total", {"lane": "query", "status": "500"}) == 1
