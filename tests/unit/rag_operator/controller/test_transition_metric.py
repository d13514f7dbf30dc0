"""Every transition is counted by its reason, once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

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


async def test_a_transition_is_counted_and_its_repetition_is_not() -> None:
    seen = SimpleNamespace(key=Key("search", "handbook"), body={"metadata": {"uid": "u", "resourceVersion": "7"}})
    before, client = counted("EvaluationFailed"), Events()
    for _ in range(2):
        await events.post(cast(Client, client), cast(Seen, seen), [Note("EvaluationFailed", "worse", warning=True)], 0.0)
    assert counted("EvaluationFailed") == before + 1
