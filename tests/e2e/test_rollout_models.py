"""Three models in a row in the real cluster under load, then back and forward: nobody notices but by better answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from cluster.commands import ClusterError
from cluster.full import Cluster
from demo import corpus
from demo.pipeline import MINILM, SHORT, STATIC, Model
from demo.traffic import Summary, Traffic
from e2e.indexes import differences, fresh, milvus
from e2e.namespaces import Namespace
from e2e.rollouts import DOCUMENTS, NAME, Library, library

NOTES = "The zeppelin hangar at Friedrichshafen was ventilated by forty-two copper louvres turned by hand."
CHANGED = "Penguins of the southern ocean were counted from a balloon with a brass telescope."
QUICK = {"canary": {"steps": [{"setWeight": 20}, {"pause": {"duration": "3s"}}, {"setWeight": 60}]}}


@pytest.fixture
def handbook(make_namespace: Callable[..., Namespace], cluster: Cluster) -> Iterator[Library]:
    with library(make_namespace({"pod-security.kubernetes.io/enforce": "restricted"})) as found:
        yield found


async def under_load(handbook: Library, act: Callable[[Traffic], Awaitable[None]]) -> Summary:
    """Run something while 8 clients ask, and return what they saw: nothing failed, nothing mixed."""
    async with handbook.load() as traffic:
        await act(traffic)
    seen = traffic.summary()
    assert (seen.failed, seen.mixed) == (0, 0), seen
    assert seen.witnessed > 0, "nobody said which collection and dimension it was answered from"
    return seen


async def change(handbook: Library, model: Model, outcome: str, count: int, meanwhile: Callable[[], None] = lambda: None) -> Summary:
    async def act(traffic: Traffic) -> None:
        await asyncio.to_thread(handbook.apply, model, **QUICK)
        await asyncio.to_thread(meanwhile)
        await asyncio.to_thread(handbook.until_decided, outcome, count)

    return await under_load(handbook, act)


async def roll_back(handbook: Library, to: str) -> tuple[Summary, float]:
    """Roll back by one command and return how long after it the first answer came that nobody else than `to` gave."""
    took: list[float] = []

    async def act(traffic: Traffic) -> None:
        assert ": Done" in await asyncio.to_thread(handbook.rag, "rollback", NAME, "--to", to, "--yes")
        commanded = time.monotonic()
        await asyncio.sleep(3)  # the window that is looked at, not a wait for something to happen
        others = [answer.at for answer in traffic.answers if answer.at > commanded and answer.revision != to]
        assert any(answer.revision == to for answer in traffic.answers if answer.at > commanded)
        took.append(max(others, default=commanded) - commanded)

    return await under_load(handbook, act), took[0]


def origin(handbook: Library, index: str) -> tuple[str, str]:
    """The collection and the dimension of an index, as its spec has them."""
    spec = handbook.namespace.get("ragindex", index)["spec"]
    return spec["collection"], str(spec["identity"]["content"]["dimensions"])


def edit(handbook: Library) -> None:
    """A document is added, one is changed, one is deleted, while an index is being built."""
    handbook.source.put("field-notes.md", NOTES)
    handbook.source.put("2.md", CHANGED)
    handbook.source.delete("1.md")


def edit_again(handbook: Library, turn: int) -> None:
    """The same with other documents in each turn, while weights move."""
    handbook.source.put(f"notes-{turn}.md", f"{NOTES} This was note number {turn}.")
    handbook.source.put(f"{10 + turn}.md", f"{CHANGED} It was counted {turn} times.")
    handbook.source.delete(f"{20 + turn}.md")


def equal_to_fresh_builds(handbook: Library, wanted: dict[str, Model]) -> None:
    """Both indexes that are kept hold exactly what an index that is built now holds; `wanted` says the model of each role."""
    with milvus(handbook) as client:
        for role, model in wanted.items():
            index = handbook.namespace.get("ragindex", handbook.status()[role]["index"])["spec"]["collection"]
            with fresh(handbook, model) as built:
                left: list[str] = []

                def same(index: str = index, built: str = built, left: list[str] = left) -> bool:
                    left[:] = differences(client, index, built)
                    return not left

                try:
                    handbook.until(f"the {role} index equal to a fresh build", same, 90)
                except ClusterError:
                    pytest.fail(f"the {role} index differs from a fresh build: {left[:10]}")


def holds_the_edits(handbook: Library, revision: str, index: str, directory: Path) -> bool:
    """Whether an index holds what the source holds now: as many documents, the new text and not the deleted one."""
    file = directory / "edits.jsonl"
    asked = [(NOTES, "field-notes.md"), (CHANGED, "2.md")]
    file.write_text("".join(json.dumps({"id": key, "text": text, "relevant": {f"cranfield/{key}": 1}}) + "\n" for text, key in asked))
    found = json.loads(handbook.rag("evaluate", NAME, str(file), "--revision", revision, "-k", "1", "-o", "json"))
    documents = handbook.namespace.get("ragindex", index)["status"]["sync"]["documents"]
    return bool(found[revision]["MRR"] == 1.0 and documents == count_of())


def count_of() -> int:
    return len(list(corpus.documents(DOCUMENTS)))  # one more, one less


def test_three_models_in_a_row_and_back_without_a_failed_or_mixed_answer(handbook: Library, tmp_path: Path) -> None:
    with handbook.telling():
        three_models(handbook, tmp_path)


def three_models(handbook: Library, directory: Path) -> None:
    handbook.apply(STATIC, **QUICK)
    handbook.until_answering()
    static = handbook.role("stable")
    before = asyncio.run(under_load(handbook, lambda traffic: asyncio.sleep(5)))

    better = asyncio.run(change(handbook, MINILM, "Promoted", 2, meanwhile=lambda: edit(handbook)))
    minilm = handbook.role("stable")
    assert (set(better.by_revision), handbook.role("retired")) == ({static, minilm}, static)

    for role in ("stable", "retired"):
        side = handbook.status()[role]
        assert better.origins[side["revision"]] == origin(handbook, side["index"])
        what = f"the edits in the index of the {role} revision"
        handbook.until(what, lambda side=side: holds_the_edits(handbook, side["revision"], side["index"], directory))  # type: ignore[misc]

    worse = asyncio.run(change(handbook, SHORT, "Aborted", 3, meanwhile=lambda: edit_again(handbook, 1)))
    decision = handbook.decisions()[0]
    assert decision["reason"] == "EvaluationFailed", decision
    assert set(worse.by_revision) == {minilm}, "nobody was answered by what the gate refused"
    assert handbook.status()["phase"] == "Degraded"
    handbook.apply(MINILM, **QUICK)

    back, seconds = asyncio.run(roll_back(handbook, static))
    assert seconds <= 1.0
    assert handbook.role("stable") == static

    async def forward(traffic: Traffic) -> None:
        await asyncio.to_thread(handbook.rag, "retry", NAME, minilm)
        await asyncio.to_thread(edit_again, handbook, 2)
        await asyncio.to_thread(handbook.until_decided, "Promoted", 5)

    again = asyncio.run(under_load(handbook, forward))
    assert handbook.role("stable") == minilm
    equal_to_fresh_builds(handbook, {"stable": MINILM, "retired": STATIC})
    for what, seen in (("before", before), ("static to MiniLM", better), ("to 32 dimensions", worse), ("back", back), ("forward", again)):
        print(f"{what}: {seen.requests} answers, p50 {seen.p50 * 1000:.0f} ms, p99 {seen.p99 * 1000:.0f} ms, {seen.by_revision}")
    print(f"rollback: {seconds:.2f} s after the command returned")
