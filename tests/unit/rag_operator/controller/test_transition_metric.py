"""Every transition is counted by its reason, once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rag_operator import errors, metrics
from rag_operator.controller import events
from rag_operator.controller.mirror import Key
from rag_operator.controller.observe import Seen
from rag_operator.kube.client import Client
from rag_operator.model.plan import Note


class Events:
    """Takes each Event once, as an API server does."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def create(self, manifest: dict[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        if name in self.names:
            raise errors.Conflict("it exists", status=409)
        self.names.add(name)


def counted(reason: str) -> float:
    return metrics.REGISTRY.get_sample_value("rag_operator_transitions_total", {"reason": reason}) or 0.0


class Refusing:
    """Takes no Event."""

    async def create(self, _: dict[str, Any]) -> None:
        raise errors.ApiError("events: forbidden", status=403)


SEEN = cast(Seen, SimpleNamespace(key=Key("search", "handbook"), body={"metadata": {"uid": "u", "resourceVersion": "7"}}))


@pytest.mark.parametrize("server", [Events, Refusing])
async def test_a_transition_is_counted_and_its_repetition_is_not(server: type[Events | Refusing]) -> None:
    before, herald = counted("EvaluationFailed"), events.Herald(cast(Client, server()))
    for _ in range(2):
        await herald.post(SEEN, [Note("EvaluationFailed", "worse", warning=True)], 0.0)
    assert counted("EvaluationFailed") == before + 1


async def test_a_transition_is_counted_once_when_its_event_is_made_at_the_second_try() -> None:
    class Late(Events):
        tries = 0

        async def create(self, manifest: dict[str, Any]) -> None:
            self.tries += 1
            if self.tries == 1:
                raise errors.Unavailable("the server is away")
            await super().create(manifest)

    before, server = counted("RolloutPromoted"), Late()
    herald = events.Herald(cast(Client, server))
    for _ in range(2):
        await herald.post(SEEN, [Note("RolloutPromoted", "every step is done")], 0.0)
    assert (counted("RolloutPromoted"), len(server.names)) == (before + 1, 1)
