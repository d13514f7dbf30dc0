"""The syncer against a real API server: what it follows, what it reports, and that it lets go when it is told to."""

from __future__ import annotations

from typing import Any

from doubles.embedder import EmbedderDouble
from doubles.indexing import differences, text_of
from integration.indexer.pipelines import DOCUMENTS, World

# A fixture is used by being there.
from integration.indexer.pipelines import world as world  # noqa: PLC0414
from rag_indexer.work.context import opened, the_index


async def test_a_pipeline_from_build_to_stop(world: World) -> None:
    """One story: build, sync, a change, a second index, held deletions, an approval, stop."""
    index = world.make()
    await world.build(index)
    status = world.status(index)
    assert status["completed"] == {"mode": "Build", "attempt": 0}
    assert status["build"]["documents"] == len(DOCUMENTS)

    world.patch(index, work={"mode": "Sync"})
    async with world.syncing():
        status = await world.until(index, lambda seen: bool(seen.get("sync", {}).get("listing")))
        assert status["acknowledged"] == {"mode": "Sync", "attempt": 0}
        assert status["completed"]["mode"] == "Build", "what a Job reported stays"
        assert status["sync"]["documents"] == len(DOCUMENTS)
        assert status["observed"]["probes"] == "Equal"

        second = world.make(collection=index["spec"]["collection"] + "_second", work={"mode": "Build"})
        await world.build(second)
        world.patch(second, work={"mode": "Sync"})
        world.double.texts.clear()
        changed = {**DOCUMENTS, "00.txt": text_of("document 0", 2, edition=2), "new.txt": "An entirely new document."}
        world.corpus.become(changed)
        both = await world.until(second, lambda seen: seen.get("sync", {}).get("documents") == len(changed))
        first = await world.until(index, lambda seen: seen.get("sync", {}).get("documents") == len(changed))
        assert both["sync"]["listing"]["id"].startswith("docs-")
        assert first["sync"]["sources"][0]["name"] == "docs"
        for each in (index, second):
            assert differences(world.store(each), changed) == []

        world.corpus.become({"00.txt": changed["00.txt"]})
        status = await world.until(index, lambda seen: "deletionHeld" in seen.get("sync", {}))
        assert (status["sync"]["deletionHeld"]["documents"], status["sync"]["deletionHeld"]["of"]) == (12, 13)
        assert "nothing is deleted until it is approved" in status["sync"]["sources"][0]["error"]
        assert "oldestPending" in status["sync"]
        world.patch(index, approvedDeletions="handbook/1")
        await world.until(index, lambda seen: seen["sync"]["documents"] == 1 and "deletionHeld" not in seen["sync"])
        assert differences(world.store(index), {"00.txt": changed["00.txt"]}) == []
        assert differences(world.store(second), changed) == [], "the approval was for one index"

        world.patch(index, work={"mode": "Stop"})
        await world.until(index, lambda seen: seen["acknowledged"]["mode"] == "Stop")
        world.corpus.become({"00.txt": "Written after the stop."})
        held = world.status(second)["sync"]["deletionHeld"]["listing"]
        await world.until(second, lambda seen: seen["sync"]["deletionHeld"]["listing"] != held)
        await world.until(second, lambda seen: seen["sync"]["embedded"] > status["sync"]["embedded"])
        assert differences(world.store(index), {"00.txt": changed["00.txt"]}) == [], "a stopped index is not written any more"


async def test_both_indexes_of_a_model_are_served_by_one_embedding(world: World) -> None:
    indexes = [world.make(), world.make()]
    for index in indexes:
        await world.build(index)
        world.patch(index, work={"mode": "Sync"})
    world.corpus.become({**DOCUMENTS, "new.txt": "Just one short new document."})
    world.double.texts.clear()
    async with world.syncing():
        for index in indexes:
            await world.until(index, lambda seen: seen.get("sync", {}).get("documents") == len(DOCUMENTS) + 1)
        # The source is listed once for both. Between two looks it may be listed anew, so it is the same listing at some look.
        await world.until(indexes[1], lambda seen: seen["sync"]["listing"]["id"] == world.status(indexes[0])["sync"]["listing"]["id"])
    assert world.double.texts.count("Just one short new document.") == 1


async def test_an_embedder_that_was_replaced_writes_nothing_and_is_reported(world: World) -> None:
    index = world.make()
    await world.build(index)
    async with EmbedderDouble(8, fingerprint="other weights") as other:
        world.patch(index, work={"mode": "Sync"}, embedder={"url": other.url})
        world.corpus.become({**DOCUMENTS, "new.txt": "A new document."})
        async with world.syncing():
            status = await world.until(index, lambda seen: seen.get("observed", {}).get("probes") == "Different")
            status = await world.until(index, lambda seen: "error" in str(seen.get("sync", {}).get("sources")))
    assert "probe vectors differ" in status["sync"]["sources"][0]["error"]
    assert differences(world.store(index), DOCUMENTS) == []


async def test_further_embedders_are_compared_each_by_itself_and_one_that_differs_stops_nothing(world: World) -> None:
    index = world.make()
    await world.build(index)
    world.patch(index, work={"mode": "Sync"})
    access = {"model": "double", "dimensions": 8}
    twin = EmbedderDouble(8)
    async with EmbedderDouble(8, fingerprint="other weights") as other, world.syncing():
        await world.until(index, lambda seen: bool(seen.get("sync", {}).get("listing")))
        await twin.start()
        world.patch(index, compare=[{"url": other.url, **access}, {"url": twin.url, **access}])
        # One that did not answer in its few seconds is asked again.
        status = await world.until(
            index, lambda seen: [one["probes"] != "Unknown" for one in seen["observed"].get("embedders", ())] == [True] * 3
        )
        said = {one["url"]: (one["probes"], one["modelFingerprint"]) for one in status["observed"]["embedders"]}
        assert said == {
            world.double.url: ("Equal", "print-8"),
            other.url: ("Different", "other weights"),
            twin.url: ("Equal", "print-8"),
        }
        assert status["observed"]["probes"] == "Equal"
        world.corpus.become({**DOCUMENTS, "new.txt": "A new document."})
        await world.until(index, lambda seen: seen["sync"]["documents"] == len(DOCUMENTS) + 1)

        # The other way round: what was measured of each stays, and what was dropped is forgotten.
        world.patch(index, embedder={"url": twin.url}, compare=[{"url": world.double.url, **access}])
        await world.until(index, lambda seen: [one["url"] for one in seen["observed"]["embedders"]] == [twin.url, world.double.url])
        status = await world.until(index, lambda seen: {one["probes"] for one in seen["observed"]["embedders"]} == {"Equal"})
        assert status["observed"]["probes"] == "Equal"
        await world.double.stop()
        world.patch(index, compare=[])
        await world.until(index, lambda seen: len(seen["observed"]["embedders"]) == 1)
        world.patch(index, compare=[{"url": world.double.url, **access}])
        status = await world.until(index, lambda seen: len(seen["observed"]["embedders"]) == 2)
        assert status["observed"]["embedders"][1] == {"url": world.double.url, "probes": "Unknown"}
    await twin.stop()


async def test_a_source_that_cannot_be_listed_is_named_and_the_index_stays(world: World) -> None:
    index = world.make(
        sources=[
            {"name": "docs", "pvc": {"claimName": "docs"}, "syncInterval": "10s"},
            {"name": "faq", "configMap": {"name": "faq"}, "syncInterval": "10s"},
        ],
        work={"mode": "Sync"},
    )
    async with opened(world.settings(index=index["metadata"]["name"])) as context:
        await context.create(await the_index(context), await context.store((await the_index(context)).spec))
    async with world.syncing():
        status = await world.until(index, lambda seen: "error" in str(seen.get("sync", {})))
        assert "ConfigMap faq does not exist" in str(status["sync"]["sources"])
        assert "listing" not in status["sync"], "an index is as fresh as its stalest source"
        world.api.kubectl("create", "configmap", "faq", "-n", world.namespace, "--from-literal=a.md=# An answer")
        status = await world.until(index, lambda seen: "listing" in seen.get("sync", {}))
        assert status["sync"]["documents"] == len(DOCUMENTS) + 1


async def test_sources_that_come_and_go_while_the_syncer_runs_are_those_that_it_reports(world: World) -> None:
    docs = {"name": "docs", "pvc": {"claimName": "docs"}, "syncInterval": "10s"}
    faq, lost = ({"name": name, "configMap": {"name": name}, "syncInterval": "10s"} for name in ("faq", "lost"))
    world.api.kubectl("create", "configmap", "faq", "-n", world.namespace, "--from-literal=a.md=# An answer")
    await world.build(index := world.make(sources=[docs]))
    world.patch(index, work={"mode": "Sync"}, sources=[docs, lost])
    async with world.syncing():
        status = await world.until(index, lambda seen: "ConfigMap lost does not exist" in str(seen.get("sync", {})))
        assert "oldestPending" in status["sync"]
        world.patch(index, sources=[docs, faq])
        status = await world.until(index, lambda seen: _sources(seen) == ["docs", "faq"] and "listing" in seen["sync"])
        assert "oldestPending" not in status["sync"], "nothing waits for a source that is gone"
        world.patch(index, sources=[faq])
        only = await world.until(index, lambda seen: _sources(seen) == ["faq"])
        assert only["sync"]["listing"]["id"].startswith("faq-"), "a source that is gone does not hold freshness back"


def _sources(status: dict[str, Any]) -> list[str]:
    return [source["name"] for source in status.get("sync", {}).get("sources", ()) if "listing" in source]


async def test_a_syncer_that_starts_while_the_embedder_is_down_forgets_nothing(world: World) -> None:
    index = world.make()
    await world.build(index)
    world.patch(index, work={"mode": "Sync"})
    async with world.syncing():
        known = await world.until(index, lambda seen: "listing" in seen.get("sync", {}))
    await world.double.stop()
    async with world.syncing():
        status = await world.until(index, lambda seen: "does not answer" in str(seen["sync"].get("sources")))
    assert status["sync"]["listing"]["id"] >= known["sync"]["listing"]["id"]
    assert status["sync"]["documents"] == len(DOCUMENTS)
    assert status["observed"]["modelFingerprint"] == known["observed"]["modelFingerprint"]
    assert "oldestPending" in status["sync"]


async def test_an_index_whose_embedder_is_away_holds_up_no_other(world: World) -> None:
    leaving = EmbedderDouble(world.double.dimensions)
    await leaving.start()
    index = world.make()
    identity = index["spec"]["identity"] | {"contentDigest": "1" * 64}
    other = world.make(leaving.url, identity=identity)
    for each in (index, other):
        await world.build(each)
        world.patch(each, work={"mode": "Sync"})
    async with world.syncing():
        for each in (index, other):
            await world.until(each, lambda seen: bool(seen.get("sync", {}).get("listing")))
        await leaving.stop()
        changed = {**DOCUMENTS, "new.txt": "A document that only one embedder sees in time."}
        world.corpus.become(changed)
        await world.until(index, lambda seen: seen["sync"]["documents"] == len(changed))
        assert differences(world.store(index), changed) == []
        status = await world.until(other, lambda seen: "error" in seen["sync"]["sources"][0])
        assert "the embedder does not answer" in status["sync"]["sources"][0]["error"]
        await leaving.start()
        await world.until(other, lambda seen: seen["sync"]["documents"] == len(changed))
        assert differences(world.store(other), changed) == []
    await leaving.stop()
