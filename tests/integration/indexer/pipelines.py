"""An API server, a Milvus, an embedder and a directory, with the programs that work on a pipeline's indexes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from pymilvus import MilvusClient

from cluster.api_only import ApiServer
from doubles.embedder import EmbedderDouble
from doubles.indexing import Corpus, text_of
from doubles.ragindex import manifest
from rag_indexer.settings import Settings
from rag_indexer.work.build import BuildRun
from rag_indexer.work.context import Context, opened, the_index
from rag_indexer.work.following import Syncer
from rag_indexer.work.sync import _follow
from rag_runtime.milvus.store import MilvusIndex

DOCUMENTS = {f"{number:02d}.txt": text_of(f"document {number}", 1 + number % 3) for number in range(12)}
CRD = Path(__file__).parents[3] / "crds" / "ragops.dev_ragindexes.yaml"
PATIENCE = 90.0


@dataclass
class World:
    """An API server, a Milvus, an embedder, a directory, and a namespace for one test."""

    api: ApiServer
    milvus: str
    client: MilvusClient
    double: EmbedderDouble
    corpus: Corpus
    directory: Path
    namespace: str

    def make(self, embedder: str | None = None, **spec: Any) -> dict[str, Any]:
        """Create a RAGIndex."""
        index = manifest(self.milvus, embedder or self.double.url, namespace=self.namespace, **spec)
        self.api.kubectl("create", "-f", "-", stdin=json.dumps(index))
        return index

    def patch(self, index: dict[str, Any], **spec: Any) -> None:
        """Change members of a spec."""
        self.api.kubectl("patch", "ragindex", self._name(index), "-n", self.namespace, "--type=merge", "-p", json.dumps({"spec": spec}))

    def status(self, index: dict[str, Any]) -> dict[str, Any]:
        """The status as stored."""
        found: dict[str, Any] = json.loads(self.api.kubectl("get", "ragindex", self._name(index), "-n", self.namespace, "-o", "json"))
        return found.get("status") or {}

    async def until(self, index: dict[str, Any], holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a status."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not holds(status := await asyncio.to_thread(self.status, index)):
            assert asyncio.get_running_loop().time() < deadline, f"the status stayed {status}"
            await asyncio.sleep(0.3)  # between two looks
        return status

    def store(self, index: dict[str, Any]) -> MilvusIndex:
        """Its collections."""
        return MilvusIndex(self.client, index["spec"]["collection"])

    def settings(self, **more: Any) -> Settings:
        """As the operator would set them."""
        kubeconfig = self.api.kubeconfig
        work = self.directory / "work"
        work.mkdir(exist_ok=True)
        known = {"namespace": self.namespace, "pipeline": "handbook", "kubeconfig": kubeconfig, "sources": self.directory / "sources"}
        return Settings(**{**known, "credentials": self.directory, "work": work, **more})

    async def build(self, index: dict[str, Any], **settings: Any) -> None:
        """Run its build Job's program."""
        async with opened(self.settings(index=self._name(index), **settings)) as context:
            await BuildRun(context, await the_index(context)).run()

    @contextlib.asynccontextmanager
    async def syncing(self) -> AsyncIterator[Context]:
        """A syncer at work."""
        async with opened(self.settings()) as context:
            syncer = Syncer(context)
            tasks = [asyncio.create_task(_follow(context, syncer)), asyncio.create_task(syncer.run())]
            try:
                yield context
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await syncer.close()

    def _name(self, index: dict[str, Any]) -> str:
        name: str = index["metadata"]["name"]
        return name


@pytest_asyncio.fixture
async def world(api_server: ApiServer, lite_address: str, lite_client: MilvusClient, double: EmbedderDouble, corpus: Corpus) -> World:
    directory = corpus.root.parents[1]
    namespace = f"sync-{directory.name[-20:].strip('_').replace('_', '-')}"
    api_server.kubectl("apply", "-f", str(CRD))
    await asyncio.to_thread(api_server.wait_listed, "ragindexes", PATIENCE)
    api_server.kubectl("create", "namespace", namespace)
    corpus.become(DOCUMENTS)
    return World(api_server, lite_address, lite_client, double, corpus, directory, namespace)
