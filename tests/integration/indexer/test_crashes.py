"""A process that is killed at any write, and what comes next: the index is what it would be without the crash.

Every write boundary, both sides of it, with three sequels: in turn on milvus-lite, a sample on the real server, all on both in a campaign.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest

from doubles.indexing import SOURCE, Corpus, KilledError, Killer, Rig, Watcher, differences, expected_chunks, text_of
from rag_indexer.indexing import passing, writing
from rag_indexer.indexing.batching import BATCH_DOCUMENTS
from rag_indexer.indexing.planning import Plan
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_runtime.milvus.rows import Vector

SEQUELS = ("run again", "the source goes back", "the documents are deleted at the source")
CHANGED, DELETED, ADDED = range(0, 4), range(4, 7), range(20, 23)
# How many writes a pass with changes and deletions makes; `test_the_number_of_writes_is_known` keeps it true.
WRITES = 9
ALL = [(at, is_after, sequel) for at in range(1, WRITES + 1) for is_after in (False, True) for sequel in SEQUELS]


def before() -> dict[str, str]:
    return {f"{number:02d}.txt": text_of(f"document {number}", 1 + number % 4) for number in range(20)} | {"empty.txt": ""}


def after() -> dict[str, str]:
    documents = before()
    documents |= {f"{number:02d}.txt": text_of(f"document {number}", 1 + number % 4, edition=2) for number in CHANGED}
    documents |= {f"{number:02d}.txt": text_of(f"document {number}", 2) for number in ADDED}
    return {path: text for path, text in documents.items() if path not in {f"{number:02d}.txt" for number in DELETED}}


def without_touched() -> dict[str, str]:
    gone = {f"{number:02d}.txt" for number in (*CHANGED, *DELETED, *ADDED)}
    return {path: text for path, text in before().items() if path not in gone}


async def crash_and_go_on(rig: Rig, corpus: Corpus, at: int, is_after: bool, sequel: str) -> None:
    corpus.become(before())
    await rig.run(rig.source(corpus))
    unchanged = list(expected_chunks(without_touched()))
    corpus.become(after())
    needed = len(expected_chunks(after()).keys() - expected_chunks(before()).keys())
    rig.double.texts.clear()
    changed = [f"{SOURCE}/{number:02d}.txt" for number in CHANGED]
    with Watcher(rig.store, unchanged, changed if sequel != SEQUELS[2] else ()) as reader:
        with pytest.raises(KilledError):
            await rig.run(rig.source(corpus), Killer(rig.store, at, after=is_after))
        corpus.become({SEQUELS[0]: after, SEQUELS[1]: before, SEQUELS[2]: without_touched}[sequel]())
        await rig.run(rig.source(corpus))
    story = f"killed {'after' if is_after else 'before'} write {at}, then: {sequel}"
    assert differences(rig.store, corpus.documents) == [], story
    assert reader.looks > 0
    assert reader.missed == [], f"{story}: something was missing meanwhile"
    if sequel == SEQUELS[0]:
        assert len(rig.double.texts) <= needed + BATCH_DOCUMENTS, f"{story}: more than a batch was embedded twice"


async def test_the_number_of_writes_is_known(lite: Rig, corpus: Corpus) -> None:
    corpus.become(before())
    await lite.run(lite.source(corpus))
    corpus.become(after())
    counting = Killer(lite.store)
    await lite.run(lite.source(corpus), counting)
    assert len(counting.writes) == WRITES
    assert counting.writes[:3] == ["put_ledger", "delete_chunks", "delete_ledger"]
    assert differences(lite.store, after()) == []


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, WRITES + 1))
async def test_killed_at_a_write(lite: Rig, corpus: Corpus, at: int, is_after: bool) -> None:
    await crash_and_go_on(lite, corpus, at, is_after, SEQUELS[(at + is_after) % len(SEQUELS)])


async def test_killed_at_sampled_writes_of_the_real_server(real: Rig, corpus: Corpus) -> None:
    for at, is_after, sequel in random.Random(20_261_121).sample(ALL, 2):
        await crash_and_go_on(real, corpus, at, is_after, sequel)


@pytest.fixture(params=["lite", "real"])
def either(request: pytest.FixtureRequest) -> Rig:
    rig: Rig = request.getfixturevalue(request.param)
    return rig


@pytest.mark.campaign
@pytest.mark.timeout(3600)
async def test_killed_at_every_write(either: Rig, corpus: Corpus) -> None:
    for at, is_after, sequel in ALL:
        await crash_and_go_on(either, corpus, at, is_after, sequel)


async def test_killed_again_and_again_it_still_ends_well(lite: Rig, corpus: Corpus) -> None:
    """Each run gets one write further than the one before it died."""
    corpus.become(after())
    for at in range(1, 40):
        try:
            await lite.run(lite.source(corpus), Killer(lite.store, 1 + at % 5, after=at % 2 == 0))
        except KilledError:
            continue
        break
    await lite.run(lite.source(corpus))
    assert differences(lite.store, after()) == []


FAULTS = ("deletes before it inserts", "does not say first that it is writing", "says that a document is done before its chunks are there")


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_harness_catches_a_protocol_that_is_wrong(lite: Rig, corpus: Corpus, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "write", partial(write_wrongly, fault))
    for at, is_after, sequel in ALL:
        if is_after:
            try:
                await crash_and_go_on(lite, corpus, at, is_after, sequel)
            except AssertionError:
                return
            except pytest.fail.Exception:
                continue  # it makes fewer writes than that
    pytest.fail(f"not caught: {fault}")


def write_wrongly(fault: str, target: Target, plans: list[Plan], vectors: dict[str, Vector], spool: Spool) -> None:
    touched = [plan for plan in plans if plan.touches_chunks]
    if fault != FAULTS[1]:
        state = "done" if fault == FAULTS[2] else "writing"
        target.store.put_ledger([replace(plan.after, state=state) for plan in touched])
    if fault == FAULTS[0]:
        writing._delete(target, touched, spool)
    writing._insert(target, touched, vectors, spool)
    writing._delete(target, touched, spool)
    target.store.put_ledger([plan.after for plan in plans])
