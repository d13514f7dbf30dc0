"""A Milvus with TLS and users, as the indexer and the gateway reach it: by Secrets in directories."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from cluster.certificates import Authority
from cluster.milvus import MilvusServer
from doubles.embedder import EmbedderDouble, vector_of
from doubles.indexing import Corpus
from doubles.ragindex import manifest
from rag_indexer import cli
from rag_indexer.settings import Settings
from rag_indexer.work.context import Context, opened
from rag_indexer.work.following import Syncer
from rag_runtime.contracts.index import Index
from rag_runtime.milvus.connection import Target, Tls, connect, secret_of
from rag_runtime.milvus.errors import LoginError
from rag_runtime.milvus.search import Hit, SearchClient, SearchRejectedError, SearchUnavailableError

NAME = "milvus.test"  # of the certificate; the address is another
PASSWORD = "Milvus"  # of root, until somebody changes it
PATIENCE = 60.0


@dataclass(frozen=True)
class Guarded:
    """A server that asks for a password, and the authority that issued its certificate."""

    server: MilvusServer
    authority: Path
    stranger: Path  # an authority that issued nothing

    @property
    def address(self) -> str:
        return self.server.uri.removeprefix("http://")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("authority")
    authority, stranger = Authority(directory, "milvus"), Authority(directory, "stranger")
    issued = authority.issue("server", user="milvus", hosts=[NAME])
    settings = {
        "COMMON_SECURITY_TLSMODE": "1",
        "COMMON_SECURITY_AUTHORIZATIONENABLED": "true",
        "TLS_SERVERPEMPATH": str(issued.cert),
        "TLS_SERVERKEYPATH": str(issued.key),
        "TLS_CAPEMPATH": str(authority.cert),
    }
    with MilvusServer(settings) as server:
        yield Guarded(server, authority.cert, stranger.cert)


@dataclass
class Secret:
    """A mounted Secret with everything: both images read what they know of."""

    directory: Path

    def become(self, authority: Path, password: str = PASSWORD) -> None:
        """Replace its files."""
        self.directory.mkdir(exist_ok=True)
        for name, value in (("username", "root"), ("password", password), ("ca.crt", authority.read_text())):
            (self.directory / name).write_text(value)


@pytest.fixture
def secret(guarded: Guarded, tmp_path: Path) -> Secret:
    mounted = Secret(tmp_path / "milvus")
    mounted.become(guarded.authority)
    return mounted


@pytest_asyncio.fixture
async def double() -> AsyncIterator[EmbedderDouble]:
    async with EmbedderDouble(8) as embedder:
        yield embedder


@pytest.fixture
def index(guarded: Guarded, double: EmbedderDouble) -> dict[str, Any]:
    tls = {"serverName": NAME, "caSecretRef": {"name": "milvus", "key": "ca.crt"}}
    milvus = {"address": guarded.address, "tls": tls, "credentialsSecretRef": {"name": "milvus"}}
    source = {"name": "docs", "pvc": {"claimName": "docs"}, "syncInterval": "1s"}
    made = manifest("", double.url, sources=[source], work={"mode": "Sync"})
    made["spec"]["milvus"] = milvus
    return made


def settings(index: dict[str, Any], directory: Path) -> Settings:
    (directory / "work").mkdir(exist_ok=True)
    file = directory / "index.yaml"
    file.write_text(yaml.safe_dump(index))
    places = {"index_file": file, "sources": directory / "sources", "work": directory / "work", "termination_log": directory / "end"}
    return Settings(**{**places, "credentials": directory, "status_file": directory / "status.json"})


async def search(index: dict[str, Any], client: SearchClient, text: str) -> list[Hit]:
    vector, collection = vector_of(text, 8), index["spec"]["collection"]
    return await client.search(collection, vector, limit=1, metric="COSINE", parameters={}, timeout=10)


@contextlib.asynccontextmanager
async def gateway(guarded: Guarded, secret: Secret) -> AsyncIterator[SearchClient]:
    client = SearchClient(guarded.address, tls=True, server_name=NAME, credentials=secret.directory)
    yield client
    await client.close()


def indexer(guarded: Guarded, secret: Secret) -> Target:
    return Target(guarded.address, tls=Tls(secret.directory / "ca.crt", NAME), secret=secret_of(secret.directory))


async def test_an_index_is_built_and_searched_by_a_user_over_tls(
    guarded: Guarded, secret: Secret, index: dict[str, Any], tmp_path: Path
) -> None:
    Corpus(tmp_path / "sources" / "docs").become({"a.txt": "Milvus asks who we are."})
    assert await cli._run("build", settings(index, tmp_path)) == 0
    async with gateway(guarded, secret) as client:
        (hit,) = await search(index, client, "Milvus asks who we are.")
    assert (hit.document, hit.text) == ("docs/a.txt", "Milvus asks who we are.")


async def test_a_wrong_password_is_one_clear_error(guarded: Guarded, secret: Secret, index: dict[str, Any]) -> None:
    secret.become(guarded.authority, password="guessed")
    with pytest.raises(LoginError, match="UNAUTHENTICATED: auth check failure, please check username and password"):
        connect(indexer(guarded, secret))
    async with gateway(guarded, secret) as client:
        with pytest.raises(SearchRejectedError, match="UNAUTHENTICATED: auth check failure"):
            await search(index, client, "anything")


async def test_a_certificate_of_an_unknown_authority_is_one_clear_error(guarded: Guarded, secret: Secret, index: dict[str, Any]) -> None:
    secret.become(guarded.stranger)
    with pytest.raises(LoginError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(indexer(guarded, secret))
    async with gateway(guarded, secret) as client:
        with pytest.raises(SearchUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            await search(index, client, "anything")
        secret.become(guarded.authority)
        with pytest.raises(SearchRejectedError, match="collection not found"):
            await search(index, client, "anything")  # the authority that replaced it is trusted


def test_a_certificate_for_another_name_is_one_clear_error(guarded: Guarded, secret: Secret) -> None:
    with pytest.raises(LoginError, match="Hostname Verification"):
        connect(Target(guarded.address, tls=Tls(secret.directory / "ca.crt", "another.test"), secret=secret_of(secret.directory)))


async def test_a_syncer_goes_on_with_the_password_that_replaced_its_own(
    guarded: Guarded, secret: Secret, index: dict[str, Any], tmp_path: Path
) -> None:
    corpus = Corpus(tmp_path / "sources" / "docs")
    corpus.become({"a.txt": "Written with the first password."})
    known = settings(index, tmp_path)
    administrator = connect(indexer(guarded, secret))
    async with opened(known) as context, _syncing(context, Index.model_validate(index)):
        await _told(known, index, '"documents": 1')
        administrator.update_password("root", PASSWORD, "replaced")
        try:
            corpus.become({**corpus.documents, "b.txt": "Written with the second password."})
            await _told(known, index, "UNAUTHENTICATED")
            secret.become(guarded.authority, password="replaced")
            await _told(known, index, '"documents": 2')
        finally:
            connect(replace(indexer(guarded, secret), secret={"token": "root:replaced"})).update_password("root", "replaced", PASSWORD)
            administrator.close()


@contextlib.asynccontextmanager
async def _syncing(context: Context, index: Index) -> AsyncIterator[None]:
    await context.create(index, await context.store(index.spec))
    syncer = Syncer(context)
    await syncer.set_indexes({index.name: index})
    working = asyncio.create_task(syncer.run())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait({working})
        await syncer.close()


async def _told(known: Settings, index: dict[str, Any], words: str) -> None:
    """Returns when the status of the syncer has these words."""
    assert known.status_file is not None
    deadline = asyncio.get_running_loop().time() + PATIENCE
    said = ""
    while words not in said:
        assert asyncio.get_running_loop().time() < deadline, f"the status stayed {said}"
        await asyncio.sleep(0.2)  # between two looks
        text = known.status_file.read_text() if known.status_file.exists() else "{}"
        said = json.dumps(json.loads(text).get(index["metadata"]["name"], {}).get("sync", {}))
