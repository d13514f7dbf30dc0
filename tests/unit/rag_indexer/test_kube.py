"""Watching RAGIndexes: events of any size, and a stream that ends in the middle of one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from doubles.web import Double
from rag_indexer.kube import Access, Kube, KubeError

LARGE = {"type": "MODIFIED", "object": {"metadata": {"name": "one", "resourceVersion": "7"}, "spec": "x" * 1_000_000}}


class Server(Double):
    """An API server whose watch says `body` and ends."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/{path:.*}", self._watch)]

    async def _watch(self, _: web.Request) -> web.Response:
        return web.Response(body=self._body)


async def watched(body: bytes) -> list[dict[str, Any]]:
    async with Server(body) as server, Kube(Access(server.url, None), "search") as kube:
        return [event async for event in kube.watch("a=b", "1")]


async def test_an_event_may_be_as_large_as_an_object() -> None:
    assert await watched(json.dumps(LARGE).encode() + b"\n") == [LARGE]


async def test_a_watch_that_ends_in_the_middle_of_an_event_is_broken() -> None:
    with pytest.raises(KubeError, match="the watch broke"):
        await watched(b'{"type": "MODIF')
