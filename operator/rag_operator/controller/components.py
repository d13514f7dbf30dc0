"""How each component stands, from what the mirror knows of its children."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from rag_operator import names
from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.controller import pods
from rag_operator.controller.pods import Trouble
from rag_operator.desired import addresses
from rag_operator.desired.context import Owner
from rag_operator.kube.child import Child
from rag_operator.kube.resources import DEPLOYMENTS, INDEXES, JOBS, PODS
from rag_operator.model.observed import MISMATCH, ComponentState
from rag_operator.model.revision import Component, ComponentKind, Revision

Children = Mapping[tuple[str, str], Child]


@dataclass(frozen=True)
class Pair:
    """Another embedder than the one that fills an index. `trusted`: it answers already, so not to have looked takes nothing away."""

    url: str
    trusted: bool


def states(
    revisions: Collection[Revision],
    children: Children,
    slow: Iterable[Trouble] = (),
    stable: Revision | None = None,
    weights: Mapping[str, int] | None = None,
) -> dict[str, ComponentState]:
    """The state of every component, by name: of these revisions, and of those that stand without one.

    `slow` is what Events said of pods that take long to start; indexes are compared with the listing of the stable one. `weights` are those
    of the routing table: an index that answers already stays ready while it takes in changes.
    """
    found = {state.name: state for state in _unrecorded(children)}
    answering = {revision.index.name for revision in revisions if (weights or {}).get(revision.name)}
    since = _listing_start(stable, children)
    for revision in revisions:
        for component in revision.components():
            if component.kind == "index":
                state = _index(component.name, children, since, answering=component.name in answering)
            else:
                state = _server(component, revision, children)
            found[component.name] = _explained(state, troubles_of(component.name, children, slow))
    return found


def pairs(
    revisions: Collection[Revision],
    children: Children,
    slow: Iterable[Trouble] = (),
    stable: Revision | None = None,
    weights: Mapping[str, int] | None = None,
) -> dict[str, ComponentState]:
    """The index of each revision whose embedder is not the one that fills it, as that embedder finds it, by revision.

    Revisions share an index when they declare the same model, wherever that comes from: whether it is the same is measured for each.
    """
    found = {}
    answering = {revision.index.name for revision in revisions if (weights or {}).get(revision.name)}
    since = _listing_start(stable, children)
    for revision in revisions:
        index = revision.index.name
        url = _other_url(revision, children.get((INDEXES.kind, index)))
        if url is not None:
            pair = Pair(url, trusted=bool((weights or {}).get(revision.name)))
            state = _index(index, children, since, answering=index in answering, pair=pair)
            found[revision.name] = _explained(state, troubles_of(index, children, slow))
    return found


def _other_url(revision: Revision, index: Child | None) -> str | None:
    """Where the revision's embedder is, unless it is the one that fills the index."""
    filling = _filling(index) if index is not None else None
    if index is None or filling is None:
        return None
    url = addresses.embedder_url(Owner(index.pipeline, index.namespace, ""), revision)
    return url if url != filling else None


def _filling(index: Child) -> str | None:
    found: str | None = ((index.body().get("spec") or {}).get("embedder") or {}).get("url")
    return found


def troubles_of(component: str, children: Children, slow: Iterable[Trouble] = ()) -> Iterator[Trouble]:
    """Everything that is said about the pods of a component, and about its workloads."""
    own = [child for child in children.values() if child.component == component]
    running = {child.name for child in own if child.kind == PODS.kind and not child.deleting}
    for child in own:
        if child.kind == PODS.kind and not child.deleting and not pods.ready(child):
            yield from pods.of_pod(child)
        elif child.kind != PODS.kind:
            yield from pods.of_workload(child)
    yield from (trouble for trouble in slow if trouble.pod in running)


def index_status(name: str, children: Children) -> RAGIndexStatus | None:
    """What indexers reported of an index; `None` when there is none, or it cannot be read."""
    child = children.get((INDEXES.kind, name))
    if child is None:
        return None
    try:
        return RAGIndexStatus.model_validate(child.status())
    except ValidationError:
        return None


def runs_elsewhere(component: Component, revision: Revision) -> bool:
    """Whether a component is an address, not pods of ours."""
    if component.kind == "embedder":
        return revision.spec.embedder.local is None
    return component.kind == "generator" and (revision.spec.generator is None or revision.spec.generator.vllm is None)


def _unrecorded(children: Children) -> Iterator[ComponentState]:
    """Components that stand: whether a record names them is the planner's business."""
    for (kind, name), child in children.items():
        label = child.labels.get(names.LABEL_KIND)
        if kind == INDEXES.kind:
            yield _index(name, children, 0.0)
        elif kind == DEPLOYMENTS.kind and label == names.KIND_EMBEDDER:
            yield _deployed("embedder", child)
        elif kind == DEPLOYMENTS.kind and label == names.KIND_GENERATOR:
            yield _deployed("generator", child)


def _server(component: Component, revision: Revision, children: Children) -> ComponentState:
    if runs_elsewhere(component, revision):
        return ComponentState(component.kind, component.name, exists=True, ready=True)
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


def _index(name: str, children: Children, since: float, *, answering: bool = False, pair: Pair | None = None) -> ComponentState:
    child = children.get((INDEXES.kind, name))
    if child is None:
        return ComponentState("index", name, reason="Missing", message="not made yet")
    status = index_status(name, children) or RAGIndexStatus()
    built, caught = is_built(status), _caught_up(status, since)
    reason, message = _index_reason(status, built=built, caught_up=caught, answering=answering)
    probes = _probes(status, pair.url if pair is not None else _filling(child), fills=pair is None)
    failed = probes == "Different"
    if failed:
        reason, message = MISMATCH, "the embedder's vectors differ from those in the index: its model or weights changed"
    elif not reason and probes != "Equal" and not (pair.trusted if pair is not None else answering):
        reason, message = "Unverified", "the embedder was not yet compared with the index"
    done = status.completed.mode if status.completed is not None else ""
    return ComponentState(
        kind="index",
        name=name,
        uid=child.uid,
        exists=True,
        ready=not reason and not child.deleting,
        failed=failed,
        reason=reason,
        message=message,
        progress=_progress(status),
        built=built,
        caught_up=caught,
        failed_documents=failed_documents(status),
        stopped=_stopped(name, status, children),
        collecting=bool((child.body().get("spec") or {}).get("collecting")),
        dropped=done == "Drop",
    )


def _stopped(name: str, status: RAGIndexStatus, children: Children) -> bool:
    """Whether nobody writes into the index any more: the syncer let go of it, and no Job of it can still run.

    A Job that was deleted leaves its pods behind for as long as they take to end, and what they build would outlive the drop.
    """
    let_go = status.acknowledged is not None and status.acknowledged.mode in ("Stop", "Drop")
    return let_go and not any(_may_write(name, child) for child in children.values())


def _may_write(index: str, child: Child) -> bool:
    if child.kind == JOBS.kind:
        return (child.component == index or child.name.startswith(f"{index}-")) and not job_ended(child)
    indexes = child.kind == PODS.kind and child.component == index and child.labels.get(names.LABEL_KIND) == names.KIND_INDEXER
    return indexes and child.status().get("phase") not in ("Succeeded", "Failed")


def is_built(status: RAGIndexStatus) -> bool:
    """Whether the build or copy of an index ended."""
    return _built_at(status) is not None


def _built_at(status: RAGIndexStatus) -> float | None:
    if status.build is not None and status.build.completion_time is not None:
        return status.build.completion_time.seconds
    done = status.completed is not None and status.completed.mode in ("Build", "Copy")
    return 0.0 if done else None


def failed_documents(status: RAGIndexStatus) -> int:
    """Documents that the index lacks because they could not be indexed."""
    if status.sync is not None:
        return status.sync.failed_count
    return status.build.failed if status.build is not None else 0


def job_ended(job: Child) -> bool:
    """Whether a Job is over, one way or the other; one that nobody took up yet is not."""
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in job.status().get("conditions") or ())


def job_failed(name: str, children: Children) -> str | None:
    """Why the Job ended without success, or `None`."""
    job = children.get((JOBS.kind, name))
    for condition in job.status().get("conditions") or () if job else ():
        if condition["type"] == "Failed" and condition["status"] == "True":
            return str(condition.get("message") or condition.get("reason") or "failed")
    return None


def _index_reason(status: RAGIndexStatus, *, built: bool, caught_up: bool, answering: bool) -> tuple[str, str]:
    seen = status.observed
    if not built:
        build = status.build
        # Numbers are in the RAGIndex: a message must not change with every document.
        return "Building", build.message if build is not None and build.message else "documents are being indexed"
    if answering:
        # It was ready when it got its weight; a listing under way, or a syncer that starts again, takes nothing away from it.
        return ("", "") if seen is None or seen.loaded else ("Loading", "the collection is not loaded")
    if not caught_up:
        return "CatchingUp", "waits for a listing of the sources that began after the build"
    if seen is None or not seen.loaded:
        return "Loading", "the collection is not loaded yet"
    if seen.pending_rows:
        return "Indexing", "rows wait to be indexed by the store"
    return "", ""


def _probes(status: RAGIndexStatus, url: str | None, *, fills: bool) -> str:
    """What was measured of this very embedder. A syncer that does not say whom it asked knows the one that fills the index only."""
    seen = status.observed
    if seen is None:
        return "Unknown"
    if fills and not seen.embedders:
        return seen.probes
    return next((embedder.probes for embedder in seen.embedders if embedder.url == url), "Unknown")


def _progress(status: RAGIndexStatus) -> int:
    build = status.build.documents + status.build.chunks if status.build is not None else 0
    return build + (status.sync.chunks if status.sync is not None else 0) + int(is_built(status))


def _caught_up(status: RAGIndexStatus, since: float) -> bool:
    """Whether the index applied a listing that began after its build ended, and is no older than stable's (`since`)."""
    listing = status.sync.listing if status.sync is not None else None
    built = _built_at(status)
    return listing is not None and built is not None and listing.start_time.seconds >= max(since, built)


def _listing_start(stable: Revision | None, children: Children) -> float:
    status = index_status(stable.index.name, children) if stable is not None else None
    listing = status.sync.listing if status is not None and status.sync is not None else None
    if stable is None or listing is None:
        return 0.0
    # Both apply the same listings, one a moment after the other: a candidate that serves must not flap with every listing.
    slack = 60.0 + 2 * max(source.sync_interval.seconds for source in stable.spec.sources)
    return listing.start_time.seconds - slack


def _explained(state: ComponentState, troubles: Iterable[Trouble]) -> ComponentState:
    trouble = pods.worst(troubles) if not state.ready and state.reason != MISMATCH else None
    if trouble is None:
        return state
    return replace(state, reason=trouble.reason, message=trouble.message)
