"""How each component stands, from what the mirror knows of its children."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from rag_operator import names
from rag_operator.controller import index_state, pods
from rag_operator.controller.index_state import Pair
from rag_operator.controller.pods import Trouble
from rag_operator.kube.child import Child, Children
from rag_operator.kube.resources import DEPLOYMENTS, INDEXES, PODS
from rag_operator.model.observed import MISMATCH, ComponentState
from rag_operator.model.revision import Component, ComponentKind, Revision


@dataclass(frozen=True)
class View:
    """What the state of components is told from, for these revisions.

    `slow` is what Events said of pods that take long to start, and of Jobs without one; indexes are compared with the listing of the
    stable one. `weights` are those of the routing table: an index that it names stays ready while it takes in changes. With no weight, too:
    what is evaluated, or can be rolled back to, is to answer within a second.
    """

    revisions: Collection[Revision]
    children: Children
    slow: Collection[Trouble] = ()
    stable: Revision | None = None
    weights: Mapping[str, int] = field(default_factory=dict)

    def states(self) -> dict[str, ComponentState]:
        """The state of every component, by name: of these revisions, and of those that stand without one."""
        found = {state.name: state for state in _unrecorded(self.children)}
        for revision in self.revisions:
            for component in revision.components():
                server = component.kind != "index"
                state = _server(component, revision, self.children) if server else self._index(component.name)
                found[component.name] = self._explained(state)
        return found

    def pairs(self) -> dict[str, ComponentState]:
        """The index of each revision whose embedder is not the one that fills it, as that embedder finds it, by revision.

        Revisions share an index when they declare the same model, wherever that comes from: whether it is the same is measured for each.
        """
        found = {}
        for revision in self.revisions:
            pair = index_state.other_pair(revision, self.children, trusted=revision.name in self.weights)
            if pair is not None:
                found[revision.name] = self._explained(self._index(revision.index.name, pair))
        return found

    def _index(self, name: str, pair: Pair | None = None) -> ComponentState:
        answering = name in self._answering
        since = self._since - (index_state.allowance(self.stable) if answering else 0.0)
        return index_state.state(name, self.children, since, answering=answering, pair=pair)

    @cached_property
    def _answering(self) -> frozenset[str]:
        return frozenset(revision.index.name for revision in self.revisions if revision.name in self.weights)

    @cached_property
    def _since(self) -> float:
        return index_state.listing_start(self.stable, self.children)

    def _explained(self, state: ComponentState) -> ComponentState:
        """The state, or if it is not ready what its pods say of it."""
        if state.ready or state.reason == MISMATCH:
            return state
        trouble = pods.worst(troubles_of(state.name, self.children, self.slow))
        return replace(state, reason=trouble.reason, message=trouble.message) if trouble is not None else state


def troubles_of(component: str, children: Children, slow: Iterable[Trouble] = ()) -> Iterator[Trouble]:
    """Everything that is said about the pods of a component, and about its workloads."""
    own = [child for child in children.values() if child.component == component]
    waited_for = {child.name for child in own if pods.is_waited_for(child) or (child.kind == PODS.kind and not child.deleting)}
    for child in own:
        if child.kind == PODS.kind and not child.deleting and not pods.ready(child):
            yield from pods.of_pod(child)
        elif child.kind != PODS.kind:
            yield from pods.of_workload(child)
    yield from (trouble for trouble in slow if trouble.pod in waited_for)


def _runs_elsewhere(component: Component, revision: Revision) -> bool:
    """Whether a component is an address, not pods of ours."""
    if component.kind == "embedder":
        return revision.spec.embedder.local is None
    return component.kind == "generator" and (revision.spec.generator is None or revision.spec.generator.vllm is None)


def _unrecorded(children: Children) -> Iterator[ComponentState]:
    """Components that stand: whether a record names them is the planner's business."""
    for (kind, name), child in children.items():
        label = child.labels.get(names.LABEL_KIND)
        if kind == INDEXES.kind:
            yield index_state.state(name, children, 0.0)
        elif kind == DEPLOYMENTS.kind and label == names.KIND_EMBEDDER:
            yield _deployed("embedder", child)
        elif kind == DEPLOYMENTS.kind and label == names.KIND_GENERATOR:
            yield _deployed("generator", child)


def _server(component: Component, revision: Revision, children: Children) -> ComponentState:
    if _runs_elsewhere(component, revision):
        return ComponentState(component.kind, component.name, exists=True, elsewhere=True, ready=True)
    child = children.get((DEPLOYMENTS.kind, component.name))
    if child is None:
        return ComponentState(component.kind, component.name, reason="Missing", message="not made yet")
    return _deployed(component.kind, child)


def _deployed(kind: ComponentKind, child: Child) -> ComponentState:
    ready = int(child.status().get("readyReplicas") or 0)
    return ComponentState(
        kind=kind,
        name=child.name,
        exists=True,
        ready=ready > 0 and not child.deleting,
        ready_replicas=ready,
        desired_replicas=child.replicas or 0,
        reason="" if ready else "Starting",
        message="" if ready else f"no pod of {child.name} is ready",
        progress=ready,
    )
