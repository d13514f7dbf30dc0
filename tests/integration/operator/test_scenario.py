"""When a scenario counts as settled: not before an operator that runs has looked at the pipeline, and then been quiet."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request

from integration.operator.proxy import Proxy
from integration.operator.replica import Nursery, Replica
from integration.operator.scenario import Scenario
from integration.operator.world import World
from rag_operator.kube.client import Client

PIPELINE = "/apis/ragops.dev/v1alpha1/namespaces/shop/ragpipelines/handbook"
LAST_KIND = "/apis/milvus.io/v1beta1/namespaces/shop/milvuses"
OURS, KOPF = "rag-operator/1.0.0 (ours)", "kopf"
LONG = 3600.0  # seconds: longer than any machine stands still


class Server:
    """It has a pipeline, or none."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = {"metadata": {"name": "handbook"}}

    async def get(self, *_: object) -> dict[str, Any] | None:
        return self.body


@dataclass
class Still:
    """A world with nothing left to do, since long ago."""

    wrote: float = 0.0
    still: float = math.inf

    def has_seen(self, moment: float) -> bool:
        return self.still > moment


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def found(server: Server, tmp_path: Path) -> Scenario:
    """An operator was started this moment."""
    proxy = Proxy(cast(Any, SimpleNamespace(server="", ssl_context=lambda: None)))
    started = Replica(os.getpid(), tmp_path / "log", "ours", time.monotonic())
    client, world, nursery = cast(Client, server), cast(World, Still()), cast(Nursery, None)
    return Scenario("shop", client, proxy, world, nursery, tmp_path, replicas=[started], settled=0.1)


def looks(found: Scenario, path: str, agent: str = OURS, *, came: float | None = None) -> None:
    """A read passes the proxy."""
    request = make_mocked_request("GET", path, headers={"User-Agent": agent})
    found.proxy.looks.append((time.monotonic() if came is None else came, request))


async def settles(found: Scenario) -> bool:
    """Whether it counts as settled within a moment."""
    try:
        await found.until("settled", lambda _: True, within=0.4)
    except AssertionError:
        return False
    return True


async def test_an_operator_that_only_just_started_has_not_settled_anything(found: Scenario) -> None:
    assert not await settles(found)


async def test_one_that_looked_and_is_quiet_has(found: Scenario) -> None:
    looks(found, PIPELINE)
    began = time.monotonic()
    await found.until("settled", lambda _: True)
    assert time.monotonic() - began >= found.settled


async def test_one_that_looked_and_writes_has_not(found: Scenario) -> None:
    looks(found, PIPELINE)
    found.proxy.last = time.monotonic() + LONG
    assert not await settles(found)


async def test_nothing_has_while_the_world_has_yet_to_follow(found: Scenario) -> None:
    looks(found, PIPELINE)
    world = cast(Still, found.world)
    world.still = time.monotonic() - 1
    assert not await settles(found)
    world.still, world.wrote = math.inf, time.monotonic() + LONG
    assert not await settles(found)


async def test_what_its_predecessor_looked_at_does_not_count(found: Scenario) -> None:
    looks(found, PIPELINE, came=found.replicas[0].since - 0.1)
    assert not await settles(found)


@pytest.mark.parametrize(("path", "agent"), [(PIPELINE + "-2", OURS), (LAST_KIND, OURS), (LAST_KIND, KOPF)])
async def test_other_reads_do_not_count(found: Scenario, path: str, agent: str) -> None:
    looks(found, path, agent)
    assert not await settles(found)


async def test_a_pipeline_that_is_gone_is_settled_by_whoever_listed_all_kinds(found: Scenario, server: Server) -> None:
    server.body = None
    looks(found, LAST_KIND, KOPF)
    assert not await settles(found)
    looks(found, LAST_KIND)
    await found.until("settled", lambda _: True)
