"""The keys that upstreams are asked with, and how long connections to an index are kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rag_gateway import upstreams
from rag_gateway.epochs import Epochs
from rag_gateway.errors import UnavailableError
from rag_gateway.settings import GatewaySettings
from rag_gateway.upstreams import Pool
from rag_runtime.contracts.routing import EmbedderRoute, IndexRoute, Route, RoutingTable
from rag_runtime.credentials import API_KEY_FILE


def key_of(directory: Path, content: bytes) -> str | None:
    (directory / "openai").mkdir()
    (directory / "openai" / API_KEY_FILE).write_bytes(content)
    return Pool(GatewaySettings.model_validate({"RAG_CREDENTIALS_DIR": directory}), Epochs())._api_key("openai")()


def test_a_key_is_what_its_file_holds_without_blanks_around_it(tmp_path: Path) -> None:
    assert key_of(tmp_path, b" sk-1\r\n") == "sk-1"


@pytest.mark.parametrize("content", [b"sk-1\nsk-2\n", b"sk-\xff", b"sk-\x00"])
def test_what_no_header_can_carry_is_no_key_and_is_named(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="the credentials 'openai' hold no API key") as refused:
        key_of(tmp_path, content)
    assert refused.value.error_code == "credentials_invalid"


class _Search:
    """A connection to `address` that is noted in `closed` when it is."""

    closed: list[str]

    def __init__(self, address: str, **_: object) -> None:
        self.address = address

    async def close(self) -> None:
        self.closed.append(self.address)


def _table(epoch: int, *addresses: str) -> RoutingTable:
    embedder = EmbedderRoute(url="http://e", model="m", dimensions=2)
    shares = [100, *[0] * (len(addresses) - 1)]
    routes = [
        Route(revision=address, weight=weight, embedder=embedder, index=IndexRoute(address=address, collection="c"))
        for address, weight in zip(addresses, shares, strict=True)
    ]
    return RoutingTable(epoch=epoch, pipeline="p", routes=tuple(routes))


async def test_a_connection_is_closed_when_no_table_names_it_and_nobody_answers_by_one_that_did(monkeypatch: pytest.MonkeyPatch) -> None:
    _Search.closed = closed = []
    monkeypatch.setattr(upstreams, "SearchClient", _Search)
    epochs = Epochs()
    pool = Pool(GatewaySettings(), epochs)
    epochs.on_adopt(pool.adopted)
    epochs.adopt(_table(1, "old:1", "new:1"))
    with epochs.use() as first:
        for route in first.routes:
            pool.of(route)
        for epoch in (2, 3):
            epochs.adopt(_table(epoch, "new:1"))
            await asyncio.gather(*pool._closing)
            assert closed == []
    epochs.adopt(_table(4, "new:1"))
    await asyncio.gather(*pool._closing)
    assert closed == ["old:1"]
    await pool.close()
    assert closed == ["old:1", "new:1"]
