"""What it takes to drop the collections of a pipeline that is being deleted. No I/O.

First everything that writes into them is stopped, then each index is marked, then a Job drops it. A foreground cascade takes away, at any
moment, whatever the pipeline owns, so what a drop needs belongs to nobody from now on and is taken away here in the end. The indexes
outlast the cascade by their finalizer; one that is missing is made again from its record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rag_operator import names
from rag_operator.api.v1alpha1.index_status import Work
from rag_operator.controller import assemble, indexes, pods
from rag_operator.controller.components import troubles_of
from rag_operator.controller.observe import Seen
from rag_operator.desired import images, indexer, jobs
from rag_operator.desired.context import IndexIntent, Manifest, Surroundings
from rag_operator.desired.milvus import must_be_dropped
from rag_operator.kube.child import Child
from rag_operator.kube.resources import DEPLOYMENTS, INDEXES, JOBS, PODS, ROLE_BINDINGS, ROLES, SERVICE_ACCOUNTS
from rag_operator.model.revision import Revision
from rag_operator.rollout.identity import declared_index, resolve

_RIGHTS = (SERVICE_ACCOUNTS.kind, ROLES.kind, ROLE_BINDINGS.kind)


@dataclass(frozen=True)
class Dropping:
    """Everything there is to do; `writers` and `pods` must be gone before the rest is done."""

    writers: tuple[Child, ...] = ()  # workloads to stop
    pods: tuple[str, ...] = ()  # that may still write
    marks: tuple[tuple[Child, Work], ...] = ()  # indexes that do not say yet what is to be done with them
    manifests: list[Manifest] = field(default_factory=list)
    why: str = ""  # what is waited for, in a sentence


def undropped(seen: Seen) -> dict[str, str]:
    """Collections that are not dropped yet, by index: of those that stand, and of those that a record alone remembers."""
    statuses = assemble.index_statuses(seen.children)
    found = {one.index.name: one.collection for one in assemble.records(seen.children).values()}
    for name, child in _indexes(seen):
        status = statuses.get(name)
        if status is not None and status.completed is not None and status.completed.mode == "Drop":
            found.pop(name, None)
        else:
            found[name] = str(child.body()["spec"]["collection"])
    return found


def is_wanted(seen: Seen) -> bool:
    """Whether the data are to go: what the spec says last decides; a spec that cannot be read takes nothing away."""
    return seen.spec is not None and must_be_dropped(seen.spec)


def dropping(seen: Seen, left: Iterable[str], templates: Mapping[str, str], surroundings: Surroundings, now: float) -> Dropping | None:
    """How to drop what is left; `None` when nobody says how the store is reached."""
    if seen.spec is None:
        return None
    recorded = assemble.records(seen.children)
    before = recorded.get(seen.record.stable or "") or next(iter(recorded.values()), None)
    newest = resolve(seen.key.name, seen.spec, images=images.chosen(templates, seen.spec, before))
    works = {name: _work(seen, name, now) for name in left}
    indexing = indexer.Indexing(
        owner=assemble.owner(seen),
        image=newest.images[names.KIND_INDEXER],
        sources=(),
        pod=newest.spec.indexer.pod,
        build_parallelism=1,
        revisions=(newest,),
        surroundings=surroundings,
    )
    made = [
        *indexer.rights(indexing, [name for name, _ in _indexes(seen)]),
        *_missing(seen, recorded, newest, works),
        *(job for name, work in works.items() if (job := jobs.work_job(indexing, name, work)) is not None),
    ]
    writers, busy = tuple(_writers(seen)), tuple(_pods(seen))
    return Dropping(writers, busy, tuple(_marks(seen, works)), [_of_nobody(one) for one in made], _why(seen, works, writers, busy))


def made_for_it(seen: Seen) -> list[Child]:
    """What belongs to nobody and would be left over."""
    ownerless = [child for child in seen.children.values() if child.owner is None and child.intent and not child.deleting]
    return [child for child in ownerless if _is_ours(seen, child)]


def _is_ours(seen: Seen, child: Child) -> bool:
    if child.kind in _RIGHTS:
        return child.name == names.indexer(seen.key.name)
    return child.kind == INDEXES.kind or (child.kind == JOBS.kind and _drops(child))


def _indexes(seen: Seen) -> list[tuple[str, Child]]:
    return [(name, child) for (kind, name), child in sorted(seen.children.items()) if kind == INDEXES.kind]


def _drops(job: Child) -> bool:
    return job.name.startswith(f"{job.component}-drop-")


def _work(seen: Seen, index: str, now: float) -> Work:
    child = seen.children.get((INDEXES.kind, index))
    present = indexes.present_work(child)
    attempt = present.attempt if present is not None else 0
    if child is None or present is None or present.mode != "Drop":
        return Work(mode="Drop", attempt=attempt + 1)
    failed = (indexes.retry_in(child, seen.children, now) or 1.0) <= 0
    return Work(mode="Drop", attempt=attempt + 1) if failed else present


def _marks(seen: Seen, works: Mapping[str, Work]) -> Iterable[tuple[Child, Work]]:
    for name, child in _indexes(seen):
        if name in works and (indexes.present_work(child) != works[name] or not indexes.is_collecting(child)):
            yield child, works[name]


def _missing(seen: Seen, recorded: Mapping[str, Revision], newest: Revision, works: Mapping[str, Work]) -> Iterable[Manifest]:
    for revision in {one.index.name: one for one in recorded.values()}.values():
        name = revision.index.name
        if name in works and (INDEXES.kind, name) not in seen.children:
            identity = declared_index(revision.spec, str(revision.index.inputs.get("reindex", "")))
            yield indexer.index(assemble.owner(seen), revision, newest.spec, IndexIntent(identity, works[name], collecting=True))


def _writers(seen: Seen) -> Iterable[Child]:
    """The syncer, and the Jobs that fill an index and have not ended."""
    for child in seen.children.values():
        syncs = child.kind == DEPLOYMENTS.kind and child.name == names.indexer(seen.key.name)
        fills = child.kind == JOBS.kind and _indexes_something(child)
        if syncs or (fills and not child.status().get("completionTime") and pods.job_failed(child.name, seen.children) is None):
            yield child


def _pods(seen: Seen) -> Iterable[str]:
    """Indexers that have not ended, terminating ones too."""
    for child in seen.children.values():
        if child.kind == PODS.kind and _indexes_something(child) and not pods.ended(child):
            yield child.name


def _indexes_something(child: Child) -> bool:
    return child.labels.get(names.LABEL_KIND) == names.KIND_INDEXER and not _drops(child)


def _of_nobody(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {key: value for key, value in manifest["metadata"].items() if key != "ownerReferences"}}


def _why(seen: Seen, works: Mapping[str, Work], writers: Iterable[Child], busy: Iterable[str]) -> str:
    writing = sorted({*busy, *(child.name for child in writers)})
    if writing:
        return f"{', '.join(writing)} may still write, and must have ended before anything is dropped"
    return "; ".join(_why_index(seen, name, work) for name, work in sorted(works.items()))


def _why_index(seen: Seen, name: str, work: Work) -> str:
    failed = pods.job_failed(jobs.work_job_name(name, work) or "", seen.children)
    trouble = pods.worst(troubles_of(name, seen.children, seen.slow))
    said = failed or (f"{trouble.reason}: {trouble.message}" if trouble is not None else "")
    return f"{name} is being dropped{': ' + said if said else ''}"
