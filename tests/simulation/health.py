"""What GitOps tools make of a pipeline's status: Argo CD by our Lua, everybody else by kstatus."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lupa.lua54 import LuaRuntime

from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.model.observed import ComponentState
from rag_operator.model.revision import Revision
from rag_operator.status.index import index_conditions
from rag_operator.status.situation import Part, Situation
from rag_operator.status.summarize import summarize
from simulation.operate import Pass
from simulation.run import Run
from simulation.specs import revision
from simulation.stories import STORIES
from simulation.world import World

SCRIPTS = Path(__file__).parents[2] / "docs/argocd"
READY = Part(True, "Ready")


class Script:
    """A health script of Argo CD in a real Lua interpreter; as there, the object is the global `obj`."""

    def __init__(self, name: str) -> None:
        self._source = (SCRIPTS / name).read_text(encoding="utf-8")

    @cached_property
    def _lua(self) -> LuaRuntime:
        return LuaRuntime(unpack_returned_tuples=True)

    def health(self, obj: dict[str, Any]) -> tuple[str, str]:
        """Return status and message."""
        self._lua.globals().obj = self._lua.table_from(obj, recursive=True)
        found = self._lua.execute(self._source)
        return str(found.status), str(found.message)


def kstatus(obj: dict[str, Any]) -> str:
    """Return what sigs.k8s.io/cli-utils says of an object with the standard conditions."""
    status = obj.get("status") or {}
    if status.get("observedGeneration") != obj["metadata"]["generation"]:
        return "InProgress"
    said = {condition["type"]: condition["status"] for condition in status.get("conditions", ())}
    if said.get("Stalled") == "True":
        return "Failed"
    if said.get("Reconciling") == "True" or said.get("Ready") in ("False", "Unknown", None):
        return "InProgress"
    return "Current"


@dataclass
class Watcher:
    """Turns every pass into the objects that a GitOps tool would see: before it, when the spec is new to the operator, and after it."""

    world: World
    before: RAGPipelineStatus = field(default_factory=RAGPipelineStatus)
    seen: list[dict[str, Any]] = field(default_factory=list)
    indexes: list[tuple[dict[str, Any], ComponentState]] = field(default_factory=list)
    generation: int = 0
    _spec: RAGPipelineSpec | None = None
    _told: dict[str, RAGIndexStatus] = field(default_factory=dict)

    def __call__(self, passed: Pass) -> None:
        if self.world.spec is not self._spec:
            self._spec, self.generation = self.world.spec, self.generation + 1
            self._see()
        known: dict[str, Revision] = {**passed.observed.revisions}
        wanted = revision(self.world.letter, passed.record.reindex)
        known.setdefault(wanted.name, wanted)
        situation = Situation(
            generation=self.generation,
            before=self.before,
            record=passed.plan.record,
            now=self.world.now,
            spec=self.world.spec,
            wanted=wanted.name,
            plan=passed.plan,
            observed=passed.observed,
            parts={"VectorStore": READY, "Gateway": READY, "Indexer": READY, "Scaling": READY},
        )
        self.before = summarize(situation)
        self._see()
        for name, state in passed.observed.components.items():
            if state.kind == "index":
                self._see_index(name, state)

    def _see(self) -> None:
        spec = {"suspend": self.world.spec.suspend}
        self.seen.append({"metadata": {"generation": self.generation}, "spec": spec, "status": self.before.to_wire()})

    def _see_index(self, name: str, state: ComponentState) -> None:
        before = self._told.get(name, RAGIndexStatus())
        found = index_conditions(state, before, self.world.spec.sources, 1, self.world.now)
        status = self._told[name] = RAGIndexStatus(conditions=found)
        self.indexes.append(({"spec": {"collecting": state.collecting}, "status": status.to_wire()}, state))


def watch(story: str, seed: int | None = None) -> Watcher:
    """A story and everything that GitOps tools see of it."""
    run = Run(seed)
    watcher = Watcher(run.world)
    run.watched.append(watcher)
    run.tell(STORIES[story])
    return watcher


def watched(story: str) -> list[dict[str, Any]]:
    """The pipeline at every moment of a story."""
    return watch(story).seen
