"""Several pods of one build, and what the API server keeps of what each of them says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from integration.indexer.pipelines import PATIENCE, World

# A fixture is used by being there.
from integration.indexer.pipelines import world as world  # noqa: PLC0414
from rag_indexer.reporting import Sink
from rag_indexer.work import build
from rag_indexer.work.build import BuildRun
from rag_indexer.work.context import opened, the_index


class Held:
    """What is first said of documents arrives after something else has happened."""

    def __init__(self, sink: Sink, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._sink = sink
        self._meanwhile = meanwhile
        self.done = False

    async def apply(self, index: str, status: dict[str, Any], manager: str) -> None:
        """Let the other happen once the documents are in."""
        if status.get("build", {}).get("documents") and not self.done:
            self.done = True
            await self._meanwhile()
        await self._sink.apply(index, status, manager)


async def test_what_one_pod_says_late_takes_nothing_back_of_a_build_that_is_complete(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is said while it fills, however slow the machine is: what is first said of documents is said at the end.
    monkeypatch.setattr(build, "NOTE_SECONDS", PATIENCE)
    index = world.make()

    async def other() -> None:
        await world.build(index, parallelism=2, share=1)
        assert "completed" not in world.status(index), "what would take it back is still on its way"

    async with opened(world.settings(index=index["metadata"]["name"], parallelism=2, share=0)) as context:
        held = context.sink = Held(context.sink, other)
        await BuildRun(context, await the_index(context)).run()
    after = world.status(index)
    assert held.done
    assert after["completed"] == {"mode": "Build", "attempt": 0}
    assert after["build"]["completionTime"]
    assert after["build"]["documents"] == after["build"]["total"]
    assert after["observed"]
