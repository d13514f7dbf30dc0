"""Deleting a pipeline. Kubernetes collects the children; only data in an external store, with deletionPolicy Delete, need us.

While our finalizer is held, each index is dropped by a Job of the tenant's own (`dropping.py`). When that cannot work (the namespace is
terminating, the store does not answer for too long), the data are left behind, and log, metric and an Event say so: deleting never
hangs for ever. An index's own finalizer never outlives the pipeline's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rag_operator import errors, metrics, names
from rag_operator.api.v1alpha1.index_status import Work
from rag_operator.controller import assemble
from rag_operator.controller.decide import Decided
from rag_operator.controller.dropping import Dropping, dropping, is_wanted, made_for_it, undropped
from rag_operator.controller.observe import Seen
from rag_operator.controller.report import Reporter
from rag_operator.controller.writer import Writer
from rag_operator.desired.context import Manifest, Surroundings
from rag_operator.desired.meta import metadata
from rag_operator.desired.milvus import must_be_dropped
from rag_operator.kube.child import Child
from rag_operator.kube.resources import INDEXES

log = logging.getLogger(__name__)

_LOOK_AGAIN = 2.0  # what pods and Jobs say of themselves comes by events, what the kubelet says of them does not
_WHY = "the pipeline is deleted"


@dataclass(frozen=True)
class Means:
    """What deleting works with. `give_up`: seconds after which data are left behind."""

    writer: Writer
    reporter: Reporter
    templates: Mapping[str, str]  # of images
    surroundings: Surroundings
    now: float
    give_up: float


async def hold(writer: Writer, seen: Seen, decided: Decided) -> None:
    """Have our finalizer on the pipeline exactly while its deletion would need us. A spec that cannot be used changes nothing."""
    if decided.wanted is None:
        return
    needed = must_be_dropped(decided.wanted.spec)
    present = seen.body["metadata"].get("finalizers") or []
    if needed == (names.FINALIZER in present):
        return
    wanted = [*present, names.FINALIZER] if needed else [one for one in present if one != names.FINALIZER]
    found = await writer.write_pipeline(seen.key, _finalizers(seen, wanted))
    seen.body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]


async def hold_indexes(writer: Writer, seen: Seen, decided: Decided) -> None:
    """Have our finalizer on the indexes too, as they are: of a pipeline that is suspended nothing else is written."""
    if decided.wanted is None or not must_be_dropped(decided.wanted.spec):
        return
    for child in seen.children.values():
        if child.kind == INDEXES.kind and not child.deleting and "f:finalizers" not in child.ours.get("f:metadata", {}):
            await writer.bring_one(_held(seen, child), seen.children)


def _held(seen: Seen, index: Child) -> Manifest:
    spec = index.body()["spec"]
    annotations = {names.ANNOTATION_DIGEST: spec["identity"]["digest"]}
    meta = metadata(assemble.owner(seen), index.name, names.KIND_INDEX, index.name, annotations=annotations)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INDEX_KIND,
        "metadata": {**meta, "finalizers": [names.FINALIZER]},
        "spec": spec,
    }


async def dismantle(means: Means, seen: Seen) -> float | None:
    """One step of deleting. Returns the seconds until the next, or `None` when nothing is left for us."""
    present = seen.body["metadata"].get("finalizers") or []
    if names.FINALIZER not in present:
        await means.writer.release_indexes(seen.key)
        return None
    # Of a spec that cannot be read nobody knows whether the data were to go: they stay, and are named.
    left = undropped(seen) if is_wanted(seen) or seen.spec is None else {}
    since = datetime.fromisoformat(seen.body["metadata"]["deletionTimestamp"]).timestamp()
    if left and means.now - since < means.give_up and await _drop(means, seen, left):
        return _LOOK_AGAIN
    if left:
        await _leave_behind(means, seen, left)
    for child in made_for_it(seen):
        await means.writer.clear(child, _WHY)
    await means.writer.write_pipeline(seen.key, _finalizers(seen, [one for one in present if one != names.FINALIZER]))
    await means.writer.release_indexes(seen.key)
    return None


async def _drop(means: Means, seen: Seen, left: Mapping[str, str]) -> bool:
    """Have every index that is left dropped. `False` when that cannot be any more."""
    todo = dropping(seen, left, means.templates, means.surroundings, means.now)
    if todo is None:
        return False
    try:
        if todo.writers or todo.pods:
            await _stop(means.writer, todo)
        else:
            for child, work in todo.marks:
                await means.writer.change_index(child, _marked(work))
            refused = await means.writer.bring(todo.manifests, seen.children)
            if refused is not None:
                raise refused
    except errors.Terminating:
        return False
    await means.reporter.say_of_deletion(seen, names.REASON_DROPPING, f"{_WHY}: {todo.why}")
    return True


def _marked(work: Work) -> dict[str, object]:
    # What a merge does not name stays, and where a copy is from belongs to a copy alone.
    return {"work": {"from": None, **work.to_wire()}, "collecting": True}


async def _stop(writer: Writer, todo: Dropping) -> None:
    for child in todo.writers:
        if not child.deleting:
            await writer.stop(child, _WHY)


async def _leave_behind(means: Means, seen: Seen, left: Mapping[str, str]) -> None:
    """Nobody will drop these any more: say so wherever somebody may look."""
    metrics.LET_GO.inc()
    collections = ", ".join(sorted(left.values()))
    where = {"pipeline": seen.key.name, "namespace": seen.key.namespace}
    log.error("collections are left behind", extra={**where, "collections": collections})
    await means.reporter.announce(seen, "CollectionsLeftBehind", f"not dropped, and nobody will: {collections}", means.now)


def _finalizers(seen: Seen, wanted: list[str]) -> dict[str, object]:
    # With the version, so that a finalizer that somebody added meanwhile is not lost.
    return {"metadata": {"finalizers": wanted, "resourceVersion": seen.body["metadata"]["resourceVersion"]}}
