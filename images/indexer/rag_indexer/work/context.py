"""What the commands share: the surroundings, connections, and how a RAGIndex becomes a `Target`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from pymilvus import MilvusClient

from rag_indexer.chunking.chunks import Chunker
from rag_indexer.chunking.tokens import BoundedTokens, ModelTokens, Tokens
from rag_indexer.errors import EmbedderError, IndexerError, NotAllowedError, PermanentError
from rag_indexer.indexing.embedding import Embedder
from rag_indexer.indexing.target import Target
from rag_indexer.kube import Access, Kube
from rag_indexer.reporting import FileSink, KubeSink, NoSink, Sink
from rag_indexer.settings import Settings
from rag_indexer.sources.opening import Surroundings
from rag_indexer.work.shapes import owner_of, shape_of
from rag_runtime.contracts.embedding import ModelCard
from rag_runtime.contracts.index import EmbedderAccess, Index, IndexSpec, MilvusAccess
from rag_runtime.credentials import api_key
from rag_runtime.embeddings import EmbeddingError, EmbeddingsClient
from rag_runtime.milvus.connection import Target as MilvusTarget
from rag_runtime.milvus.connection import Tls, connect, secret_of
from rag_runtime.milvus.errors import MilvusError, NotOursError, UnsupportedError
from rag_runtime.milvus.port import IndexStore
from rag_runtime.milvus.store import MilvusIndex

logger = logging.getLogger(__name__)

T = TypeVar("T")
# A Job may start before the embedder that it needs.
EMBEDDER_SECONDS = 300.0
EMBEDDER_PAUSE_SECONDS = 2.0
OpenStore = Callable[[MilvusClient, str], IndexStore]


@dataclass(frozen=True)
class Model:
    """An embedder that was reached: what it says of itself, and how it counts."""

    embedder: Embedder
    card: ModelCard
    tokens: Tokens


@dataclass
class Context:
    """One process. `open_store` is a parameter so that tests can put something between us and Milvus."""

    settings: Settings
    sink: Sink
    around: Surroundings
    kube: Kube | None = None
    open_store: OpenStore = MilvusIndex
    _models: dict[str, Model] = field(default_factory=dict)
    _clients: dict[str, MilvusClient] = field(default_factory=dict)

    async def store(self, spec: IndexSpec) -> IndexStore:
        """The index's collections, by a connection that indexes of the same Milvus share."""
        return self.open_store(await self.milvus(spec.milvus), spec.collection)

    async def milvus(self, access: MilvusAccess) -> MilvusClient:
        """A connection. Raises `MilvusError`."""
        key = access.model_dump_json()
        if key not in self._clients:
            self._clients[key] = await asyncio.to_thread(connect, self._milvus_target(access))
        return self._clients[key]

    def forget_milvus(self, access: MilvusAccess) -> None:
        """Connect anew the next time, with the Secrets as they are then."""
        if client := self._clients.pop(access.model_dump_json(), None):
            client.close()

    def _milvus_target(self, access: MilvusAccess) -> MilvusTarget:
        reference = access.credentials_secret_ref
        tls = access.tls
        authority = tls.ca_secret_ref if tls else None
        return MilvusTarget(
            access.address,
            access.database,
            tls=Tls(self.around.credentials / authority.name / authority.key if authority else None, tls.server_name) if tls else None,
            secret=secret_of(self.around.credentials / reference.name) if reference else {},
        )

    async def model(self, access: EmbedderAccess, *, patience: float = 0.0) -> Model:
        """The embedder, asked for its card and tokenizer once; one that is still starting is waited for `patience` seconds.

        Raises `EmbedderError`.
        """
        deadline = time.monotonic() + patience
        key = access.model_dump_json()
        while key not in self._models:
            try:
                self._models[key] = await self._asked(access)
            except EmbedderError:
                if time.monotonic() + EMBEDDER_PAUSE_SECONDS > deadline:
                    raise
                await asyncio.sleep(EMBEDDER_PAUSE_SECONDS)
        return self._models[key]

    async def renewed(self, access: EmbedderAccess, seconds: float) -> Model:
        """The embedder with its card as it is now: what answers at an address may have been replaced. Raises `EmbedderError`."""
        model = await self.model(access)
        try:
            card = await model.embedder.client.describe(timeout=seconds, refresh=True)
        except EmbeddingError as error:
            raise EmbedderError(f"the embedder at {access.url} does not answer: {error}") from error
        renewed = self._models[access.model_dump_json()] = replace(model, card=card)
        return renewed

    async def _asked(self, access: EmbedderAccess) -> Model:
        async with contextlib.AsyncExitStack() as unless_kept:
            client = await unless_kept.enter_async_context(self._embeddings(access))
            try:
                card = await client.describe()
                tokenizer = await client.tokenizer()
            except EmbeddingError as error:
                raise EmbedderError(f"the embedder at {access.url} does not answer: {error}") from error
            unless_kept.pop_all()
        return Model(Embedder(client), card, _tokens(access, tokenizer))

    def _embeddings(self, access: EmbedderAccess) -> EmbeddingsClient:
        reference = access.credentials_secret_ref
        return EmbeddingsClient(
            access.url.rstrip("/").removesuffix("/v1"),
            access.model,
            dimensions=access.dimensions,
            query_prefix=access.query_prefix,
            document_prefix=access.document_prefix,
            api_key=partial(_api_key, self.around.credentials / reference.name) if reference else lambda: None,
        )

    async def forget_models(self) -> None:
        """Ask the embedders anew the next time: one may have been replaced."""
        for model in self._models.values():
            await model.embedder.client.close()
        self._models.clear()

    async def target(self, index: Index, *, low: int = 0, high: int = 1_024, patience: float = 0.0) -> tuple[Target, Model]:
        """The index as something that passes can bring up to date. Raises `PermanentError` when its chunks cannot fit the model."""
        spec = index.spec
        content = spec.identity.content
        model = await self.model(spec.embedder, patience=patience)
        prefix = spec.embedder.document_prefix
        limit = spec.embedder.max_input_tokens or model.card.max_tokens
        prompt = model.card.document_prompt if prefix is None else prefix
        chunker = Chunker(model.tokens, content.chunking, content.embed_title, limit, prompt)
        chunker.check()
        return replace(await self._target(index, model, chunker), low=low, high=high), model

    async def cold_target(self, index: Index) -> tuple[Target, Model]:
        """The index as something that deletions alone are applied to. Its embedder, which has no pods, is never asked."""
        spec = index.spec
        card, tokens = ModelCard(id=spec.embedder.model), BoundedTokens()
        model = Model(Embedder(self._embeddings(spec.embedder)), card, tokens)
        return replace(await self._target(index, model, Chunker(tokens, spec.identity.content.chunking)), cold=True), model

    async def _target(self, index: Index, model: Model, chunker: Chunker) -> Target:
        spec = index.spec
        return Target(
            name=index.name,
            store=await self.store(spec),
            embedder=model.embedder,
            chunker=chunker,
            content=f"{spec.embedder.model_dump_json()}{spec.identity.content.model_dump_json()}",
            metadata=spec.metadata_fields,
            max_delete_fraction=spec.max_delete_fraction,
            approval=spec.approved_deletions,
        )

    async def create(self, index: Index, store: IndexStore) -> None:
        """Make the index's collections, or find them. Raises `PermanentError` when this is not wanted any more: nobody would drop them."""
        await self._require_wanted(index)
        await asyncio.to_thread(store.create, shape_of(index.spec), owner_of(index, self.settings.cluster_uid))

    async def _require_wanted(self, index: Index) -> None:
        if self.kube is None:
            return
        found = await self.kube.index(index.name)
        now = Index.model_validate(found).spec if found is not None else None
        if now is None or now.collecting or now.work != index.spec.work:
            asked = now.work.mode if now is not None else "nothing"
            raise PermanentError(f"{index.name} asks for {asked} now, not for this {index.spec.work.mode}")

    async def close(self) -> None:
        """Let go of every connection."""
        await self.forget_models()
        for client in self._clients.values():
            client.close()
        self._clients.clear()


def _tokens(access: EmbedderAccess, tokenizer: bytes | None) -> Tokens:
    if tokenizer is None:
        return BoundedTokens()
    try:
        return ModelTokens(tokenizer)
    except Exception as error:
        # Some servers answer every path, with a page or an error of status 200: they offer no tokenizer either.
        extra = {"embedder": access.url, "reason": f"{error!s:.200}"}
        logger.warning("what the embedder offers as its tokenizer is none; tokens are counted by a bound", extra=extra)
        return BoundedTokens()


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Context]:
    """A context: in a cluster, with a kubeconfig, or alone with files."""
    async with contextlib.AsyncExitStack() as stack:
        access = _access(settings)
        kube = await stack.enter_async_context(Kube(access, settings.namespace)) if access else None
        sink: Sink = KubeSink(kube) if kube else FileSink(settings.status_file) if settings.status_file else NoSink()
        around = Surroundings(settings.sources, settings.credentials, settings.work, kube.config_map if kube else None)
        context = Context(settings, sink, around, kube)
        stack.push_async_callback(context.close)
        yield context


def _access(settings: Settings) -> Access | None:
    if settings.index_file is not None:
        return None
    if settings.kubeconfig is not None:
        return Access.from_kubeconfig(settings.kubeconfig)
    return Access.in_cluster(settings.kubernetes_host, settings.kubernetes_port) if settings.kubernetes_host else None


def _api_key(directory: Path) -> str:
    try:
        return api_key(directory)
    except ValueError as error:
        raise EmbeddingError(str(error)) from error


async def the_index(context: Context) -> Index:
    """The RAGIndex this process works for. Raises `PermanentError` when there is none, or it cannot be understood."""
    import yaml
    from pydantic import ValidationError

    raw = None
    if context.settings.index_file is not None:
        raw = yaml.safe_load(_text(context.settings.index_file))
    elif context.kube is not None and context.settings.index:
        raw = await context.kube.index(context.settings.index)
    if raw is None:
        raise PermanentError(f"there is no RAGIndex {context.settings.index or '(RAG_INDEX and RAG_INDEX_FILE are not set)'}")
    try:
        return Index.model_validate(raw)
    except ValidationError as error:
        raise PermanentError(f"the RAGIndex cannot be read: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise PermanentError(f"failed to read {path}: {error.strerror}") from error


def as_indexer_error(error: Exception) -> IndexerError:
    """What a store's exception means for a command."""
    if isinstance(error, IndexerError):
        return error
    if isinstance(error, NotOursError | UnsupportedError):
        return NotAllowedError(str(error))
    if isinstance(error, MilvusError):
        return IndexerError(str(error))
    return IndexerError(f"{type(error).__name__}: {error}")
