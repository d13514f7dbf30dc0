"""Connections to everything a revision uses, shared by the revisions that use the same.

A client belongs to what identifies it: two revisions with one embedder share its connections, its retry budget and its flights. What the
current table does not name any more is closed when no answer of an older table runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

import aiohttp

from rag_runtime.contracts.routing import EmbedderRoute, GeneratorRoute, IndexRoute, Route, RoutingTable
from rag_runtime.credentials import api_key
from rag_runtime.embeddings import EmbeddingsClient
from rag_runtime.milvus.search import SearchClient
from rag_runtime.retry import RetryBudget

from .epochs import Epochs
from .errors import UnavailableError
from .generator import GeneratorClient, Timeouts
from .retrieval import Retriever
from .settings import GatewaySettings
from .vectors import QueryEmbedder, VectorCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class Upstreams:
    """What one revision is answered with."""

    retriever: Retriever
    generator: GeneratorClient | None


class Pool:
    """Makes and keeps clients. Lives in one event loop; `close` ends it."""

    def __init__(self, settings: GatewaySettings, epochs: Epochs, *, on_cached: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._epochs = epochs
        self._on_cached = on_cached
        self._cache = VectorCache(settings.vector_cache_bytes)
        self._session: aiohttp.ClientSession | None = None
        self._ready: dict[str, tuple[Route, Upstreams]] = {}
        self._embedders: dict[EmbedderRoute, QueryEmbedder] = {}
        self._searches: dict[Hashable, tuple[SearchClient, RetryBudget]] = {}
        self._generators: dict[GeneratorRoute, GeneratorClient] = {}
        self._retired: list[tuple[int, SearchClient]] = []
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, route: Route) -> Upstreams:
        """The clients of `route`; nothing is connected before it is used."""
        known = self._ready.get(route.revision)
        if known is not None and known[0] is route:
            return known[1]
        if known is not None and known[0] == route:  # a new table with the same route: compared once
            self._ready[route.revision] = (route, known[1])
            return known[1]
        search, budget = self._search(route.index)
        made = Upstreams(
            Retriever(self._embedder(route.embedder), search, route.index, budget),
            self._generator(route.generator) if route.generator else None,
        )
        self._ready[route.revision] = (route, made)
        return made

    def adopted(self, table: RoutingTable) -> None:
        """Forget what `table` does not name; close connections once nobody answers by an older table."""
        self._ready = {name: known for name, known in self._ready.items() if any(name == route.revision for route in table.routes)}
        _keep(self._embedders, {route.embedder for route in table.routes})
        _keep(self._generators, {route.generator for route in table.routes if route.generator})
        left = _keep(self._searches, {_place(route.index) for route in table.routes})
        self._retired += [(table.epoch, client) for client, _ in left]
        due = [client for epoch, client in self._retired if epoch <= self._epochs.oldest_in_use]
        self._retired = [(epoch, client) for epoch, client in self._retired if epoch > self._epochs.oldest_in_use]
        for client in due:
            task = asyncio.create_task(client.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every connection."""
        for client in [client for _, client in self._retired] + [client for client, _ in self._searches.values()]:
            await client.close()
        if self._session is not None:
            await self._session.close()

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            # No limit here: every upstream sheds load at its own door, a queue of ours would only hide it.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15, ttl_dns_cache=5)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    def _embedder(self, route: EmbedderRoute) -> QueryEmbedder:
        if route not in self._embedders:
            client = EmbeddingsClient(
                route.url,
                route.model,
                dimensions=route.dimensions,
                query_prefix=route.query_prefix,
                api_key=self._api_key(route.credentials),
                session=self._http(),
            )
            timeout = self._settings.retrieval_timeout
            self._embedders[route] = QueryEmbedder(route, client, self._cache, timeout=timeout, on_cached=self._on_cached)
        return self._embedders[route]

    def _search(self, route: IndexRoute) -> tuple[SearchClient, RetryBudget]:
        key = _place(route)
        if key not in self._searches:
            credentials = self._settings.credentials_dir / route.credentials if route.credentials else None
            client = SearchClient(
                route.address, database=route.database, tls=route.tls, server_name=route.server_name, credentials=credentials
            )
            self._searches[key] = (client, RetryBudget())
        return self._searches[key]

    def _generator(self, route: GeneratorRoute) -> GeneratorClient:
        if route not in self._generators:
            timeouts = Timeouts(self._settings.first_token_timeout, self._settings.token_timeout)
            api_key = self._api_key(route.credentials)
            self._generators[route] = GeneratorClient(route, self._http(), RetryBudget(), timeouts, api_key)
        return self._generators[route]

    def _api_key(self, credentials: str | None) -> Callable[[], str | None]:
        if credentials is None:
            return lambda: None
        directory = self._settings.credentials_dir / credentials

        def read() -> str:
            try:
                return api_key(directory)
            except OSError as error:
                raise UnavailableError(f"failed to read the credentials {credentials!r}", code="credentials_missing") from error
            except ValueError as error:
                raise UnavailableError(str(error), code="credentials_invalid") from error

        return read


def _place(route: IndexRoute) -> Hashable:
    """Collections of one database share a connection."""
    return (route.address, route.database, route.tls, route.server_name, route.credentials)


def _keep(clients: dict[K, V], keys: set[K]) -> list[V]:
    """Drop the clients that are not named by `keys`, and return them."""
    return [clients.pop(key) for key in list(clients) if key not in keys]
