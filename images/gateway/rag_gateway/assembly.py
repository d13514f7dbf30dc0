"""The parts of a gateway, put together once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prometheus_client import REGISTRY, CollectorRegistry

from rag_runtime.health import Health
from rag_runtime.server import Listener

from .app import Gateway
from .epochs import Epochs
from .keys import ApiKeys
from .metrics import Metrics
from .settings import GatewaySettings
from .table import FileSource, TableSource, follow
from .upstreams import Pool

logger = logging.getLogger(__name__)


class Assembly:
    """Listeners, health and lifespan of one gateway process."""

    def __init__(self, settings: GatewaySettings, registry: CollectorRegistry = REGISTRY) -> None:
        self.epochs = Epochs()
        self.health = Health()
        self.health.ready_when("table", lambda: None if self.epochs.table else "the routing table has not been read yet")
        self._metrics = Metrics(self.epochs, registry)
        self._pool = Pool(settings, self.epochs, on_cached=self._metrics.cached.inc)
        self._source = _source(settings)
        gateway = Gateway(settings, self.epochs, self._pool, ApiKeys(settings.api_keys_dir), self._metrics)
        self.listeners = (
            Listener("public", gateway.port(preview=False), settings.port, settings.host),
            Listener("preview", gateway.port(preview=True), settings.preview_port, settings.host),
        )

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Follow the table while the block runs; close the connections after it."""
        self.epochs.on_adopt(self._pool.adopted)
        following = asyncio.create_task(follow(self._source, self.epochs, self._metrics.rejected.inc))
        following.add_done_callback(_say_why)
        self.health.alive_when("table", lambda: "the routing table is not followed any more" if following.done() else None)
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await self._pool.close()


def _say_why(following: asyncio.Task[None]) -> None:
    """The kubelet restarts a gateway that follows no table; here is why it had to."""
    if not following.cancelled() and (error := following.exception()):
        logger.error("the routing table is not followed any more", exc_info=error)


def _source(settings: GatewaySettings) -> TableSource:
    if (settings.table_file is None) == (settings.table_configmap is None):
        raise SystemExit("exactly one of RAG_TABLE_CONFIGMAP and RAG_TABLE_FILE must be set")
    if settings.table_file is not None:
        return FileSource(settings.table_file)
    # Its Kubernetes client takes half a second to import, which a gateway that runs alone need not wait for.
    from .kubernetes_table import ConfigMapSource

    return ConfigMapSource(settings.namespace, settings.table_configmap or "")
