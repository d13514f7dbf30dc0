"""`python -m rag_embedder`: serve one model. Environment: see `settings` and docs/embedder.md."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rag_embedder.api.app import EmbedderApp
from rag_embedder.errors import ModelError
from rag_embedder.metrics import Metrics
from rag_embedder.service import Service, serving
from rag_embedder.settings import EmbedderSettings
from rag_runtime import logs, server
from rag_runtime.health import Health
from rag_runtime.settings import load

logger = logging.getLogger("rag_embedder")


def main() -> None:
    """Serve until SIGTERM; ends with code 1 and a log line when the model cannot be served."""
    settings = load(EmbedderSettings)
    logs.configure(settings.log_level, pipeline=settings.pipeline, component=settings.component, pod=settings.pod)
    try:
        _serve(settings)
    except ModelError as error:
        logger.error("the model cannot be served", extra={"error": str(error)})
        sys.exit(1)


def _serve(settings: EmbedderSettings) -> None:
    health = Health()
    metrics = Metrics(settings.pipeline, settings.component)
    loaded: list[Service] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with serving(settings, metrics) as service:
            loaded.append(service)
            health.alive_when("engine", service.scheduler.not_alive)
            yield

    server.run(
        [server.Listener("api", EmbedderApp(lambda: loaded[0], metrics), settings.port)],
        health=health,
        metrics_port=settings.metrics_port,
        lifespan=lifespan,
        grace_seconds=settings.grace_seconds,
        drain_seconds=settings.drain_seconds,
    )


if __name__ == "__main__":
    # The library starts a thread per core of the machine for every batch of texts; ours are short, and the cores are for the engine.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
