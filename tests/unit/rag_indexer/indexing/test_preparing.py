"""Embedders that fail, hang or are away in a pass over several indexes, and whom that must not hold up."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from doubles.embedder import EmbedderDouble
from doubles.indexing import DIMENSIONS, differences, expected_chunks, text_of
from doubles.syncing import DOCUMENTS, World
from rag_indexer.indexing import preparing
from rag_indexer.indexing.batching import BATCH_DOCUMENTS

MANY = {f"{number:03d}.txt": text_of(f"document {number}", 1) for number in range(5 * BATCH_DOCUMENTS)}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("denied", "the embedder refuses: "),
        ("error", "the embedder does not answer: "),
        ("garbage", "the embedder's answer cannot be used: "),
    ],
)
async def test_an_embedder_that_fails_holds_up_its_own_indexes_alone(world: World, double: EmbedderDouble, fault: str, says: str) -> None:
    world.corpus.become(MANY)
    async with EmbedderDouble(DIMENSIONS) as failing:
        failing.fault = fault
        world.follow("stable", double)
        for name in ("retired", "twin"):
            world.follow(name, failing)
        await world.run_pass("stable", "retired", "twin")
        assert differences(world.stores["stable"], MANY) == []
        assert world.error("stable") == ""
        for name in ("retired", "twin"):
            assert world.error(name).startswith(says)
            assert not world.stores[name].chunks
        assert len(set(failing.texts)) <= len(expected_chunks(MANY)) // 2, "what is left of a pass is not tried"

        failing.fault = None
        await world.run_pass("stable", "retired", "twin")
        for name in ("retired", "twin"):
            assert differences(world.stores[name], MANY) == []
            assert world.error(name) == ""


class LateDouble(EmbedderDouble):
    """An embedder that fails after some texts."""

    async def _embeddings(self, request: web.Request) -> web.Response:
        self.fault = "error" if len(self.texts) > BATCH_DOCUMENTS else None
        return await super()._embeddings(request)


async def test_an_embedder_that_begins_to_fail_holds_up_its_own_indexes_alone(world: World, double: EmbedderDouble) -> None:
    world.corpus.become(MANY)
    async with LateDouble(DIMENSIONS) as failing:
        world.follow("stable", double)
        retired = world.follow("retired", failing)
        await world.run_pass("stable", "retired")
        assert differences(world.stores["stable"], MANY) == []
        assert world.error("retired").startswith("the embedder does not answer: ")
        assert (retired.probe_at, retired.ledger_read) == (float("-inf"), float("-inf"))


async def test_an_embedder_that_hangs_and_still_says_what_it_serves_holds_up_nobody(
    world: World, double: EmbedderDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "AWAY_SECONDS", 2.0)  # the other one has to answer within it
    async with EmbedderDouble(DIMENSIONS) as hanging:
        hanging.fault = "hang"
        world.follow("stable", double)
        retired = world.follow("retired", hanging)
        await asyncio.wait_for(world.run_pass("stable", "retired"), 60)
        assert differences(world.stores["stable"], DOCUMENTS) == []
        assert world.error("retired").startswith("the embedder does not answer: ")
        assert retired.ledger_read > float("-inf"), "nothing was written, so what is known still holds"


async def test_an_index_that_needs_no_vectors_needs_no_embedder(world: World, double: EmbedderDouble) -> None:
    async with EmbedderDouble(DIMENSIONS) as failing:
        for name, embedder in (("stable", double), ("retired", failing), ("young", failing)):
            world.follow(name, embedder)
        await world.run_pass("stable", "retired")
        failing.fault = "error"
        world.corpus.become({})
        world.corpus.become(DOCUMENTS)  # the same bytes at another time
        await world.run_pass("stable", "retired", "young")
        assert world.error("retired") == ""
        assert differences(world.stores["retired"], DOCUMENTS) == []
        assert world.error("young").startswith("the embedder does not answer: ")


async def test_with_one_index_alone_a_failing_embedder_ends_the_pass(world: World, double: EmbedderDouble) -> None:
    followed = world.follow("one", double)
    double.fault = "error"
    await world.run_pass("one")
    assert world.error("one").startswith("the embedder does not answer: ")
    assert (followed.probe_at, followed.ledger_read) == (float("-inf"), float("-inf"))
