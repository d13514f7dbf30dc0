"""A namespace is given up only when not even pipelines may be listed in it, and taken up again only when all of it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rag_operator import errors, names
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.queue import Backoff, Queue
from rag_operator.controller.resync import Resync
from rag_operator.kube.client import Client, Page
from rag_operator.kube.resources import JOBS, PIPELINES, PODS, SERVICES, WATCHED, Resource

NAMESPACES = ("a", "b")
A, B = Key("a", "p"), Key("b", "p")


class Server(Client):
    """One pipeline and its Service in every namespace, unless it is `empty`. `refused`: (namespace, kind) that may not be listed."""

    def __init__(self) -> None:
        self.refused: set[tuple[str | None, str]] = set()
        self.status = 403
        self.empty: set[str | None] = set()
        self.asked: list[tuple[str | None, str]] = []

    def refuse(self, namespace: str) -> None:
        """Answer nothing of a namespace."""
        self.refused |= {(namespace, resource.kind) for resource in WATCHED}

    async def pages(self, resource: Resource, namespace: str | None = None, **_: Any) -> AsyncIterator[Page]:
        self.asked.append((namespace, resource.kind))
        if (namespace, resource.kind) in self.refused:
            raise errors.from_status(self.status, f"no {resource.kind} in {namespace}")
        listed = resource in (PIPELINES, SERVICES) and namespace not in self.empty
        yield Page([body(resource, str(namespace))] if listed else [], 9)


def body(resource: Resource, namespace: str) -> dict[str, Any]:
    labels = {} if resource is PIPELINES else {names.LABEL_PIPELINE: "p"}
    meta = {"name": "p", "namespace": namespace, "uid": f"{resource.kind} of {namespace}", "resourceVersion": "7", "labels": labels}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}


class Operator:
    """A resync and what it does to mirror and queue."""

    def __init__(self, server: Server, namespaces: tuple[str, ...] = NAMESPACES) -> None:
        self.server, self.mirror = server, Mirror()
        self.queue = Queue[Key](Backoff(), time.monotonic)
        self.resync = Resync(server, self.mirror, self.queue, namespaces)

    async def due(self) -> set[Key]:
        """What is to be looked at; asked once."""
        found = set()
        while self.queue.depth:
            key = await self.queue.get()
            self.queue.forget(key)
            found.add(key)
        return found

    async def compare(self) -> None:
        """Compare every kind once."""
        compared = asyncio.create_task(self.resync.run(0.0))
        self.server.asked.clear()
        while len({kind for _, kind in self.server.asked}) < len(WATCHED):  # noqa: ASYNC110 - an endless loop is watched
            await asyncio.sleep(0)
        compared.cancel()
        await asyncio.gather(compared, return_exceptions=True)


@pytest.fixture
def server() -> Server:
    return Server()


async def test_the_others_are_taken_in_and_it_is_said_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.refuse("b")
    found = Operator(server)
    await found.resync.prime()
    await found.compare()
    assert await found.due() == {A}
    assert found.mirror.out_of_reach == {"b"}
    (said,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "namespace b " in said.getMessage()
    assert "watch.namespaces" in said.getMessage()


async def test_what_is_known_of_it_is_kept(server: Server) -> None:
    found = Operator(server)
    await found.resync.prime()
    server.refuse("b")
    server.empty.add("b")
    await found.compare()
    assert set(found.mirror.pipelines) == {A, B}
    assert ("Service", "p") in found.mirror.children(B)


@pytest.mark.parametrize("kind", [JOBS, PODS, SERVICES])
async def test_one_kind_that_is_refused_makes_no_namespace_empty_and_none_is_given_up(server: Server, kind: Resource) -> None:
    server.refused.add(("b", kind.kind))
    found = Operator(server)
    with pytest.raises(errors.Forbidden):
        await found.resync.prime()
    assert found.mirror.out_of_reach == set()


async def test_who_is_not_known_any_more_has_lost_no_namespace(server: Server) -> None:
    server.refuse("b")
    server.status = 401
    with pytest.raises(errors.Forbidden):
        await Operator(server).resync.prime()


@pytest.mark.parametrize("namespaces", [(), ("a",), NAMESPACES])
async def test_where_there_is_nothing_else_to_go_on_with_the_refusal_is_told(server: Server, namespaces: tuple[str, ...]) -> None:
    server.refused = {(namespace, resource.kind) for namespace in (*NAMESPACES, None) for resource in WATCHED}
    found = Operator(server, namespaces)
    with pytest.raises(errors.Forbidden):
        await found.resync.prime()
    server.refused = {(namespace, kind) for namespace, kind in server.refused if namespace == "b"}
    await found.resync.prime()
    assert A in await found.due() or not namespaces


async def test_it_is_taken_up_again_with_all_its_kinds_and_not_before(server: Server) -> None:
    server.refuse("b")
    found = Operator(server)
    await found.resync.prime()
    await found.due()
    server.refused = {("b", JOBS.kind)}
    await found.compare()
    assert found.mirror.out_of_reach == {"b"}
    server.refused.clear()
    await found.compare()
    assert found.mirror.out_of_reach == set()
    assert await found.due() == {B}


async def test_what_was_found_in_one_namespace_is_looked_at_though_another_one_fails(server: Server) -> None:
    server.empty.add("a")
    found = Operator(server)
    await found.resync.prime()
    await found.due()
    server.empty.clear()
    server.refused = {("b", SERVICES.kind)}
    with pytest.raises(errors.Forbidden):
        await found.resync._compare(SERVICES)
    assert await found.due() == {A}
