"""Every manifest of a pipeline, in the order in which they are applied. The one entry of this package.

```
accounts, roles ─► network policies ─► claims, Services ─► store ─► embedders, generators, gateway, syncer ─► indexes ─► Jobs
```

What is not in the list is not wanted; what to do about that is the pruner's business. Jobs are created and never applied again. The records
(`revision_record.py`) are written before, the routing table (`routing.py`) after.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rag_operator import names
from rag_operator.desired import autoscaling, embedder, gateway, generator, images, indexer, jobs, milvus, models, monitoring, network
from rag_operator.desired.context import IndexIntent, Manifest, Owner, Surroundings
from rag_operator.desired.credentials import Part
from rag_operator.desired.sizing import size
from rag_operator.model.plan import EvaluationIntent, Keep
from rag_operator.model.revision import Component, Revision


@dataclass(frozen=True)
class Wanted:
    """What a pipeline should be made of now.

    `newest` gives what belongs to the whole pipeline (gateway, syncer, store, sources) and the newest in-place settings of components that
    it shares; it is the revision that the spec resolves to, while the spec is wrong the one it resolved to last. `keep` comes from the
    plan, stable first. `revisions` are the recorded ones; `weights` those of the routing table; `listed` are the revisions in the stored
    table and in the one to be written; `indexes` says for each index, also one that is being collected, what it is to do.
    """

    newest: Revision
    keep: Sequence[Keep] = ()
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)
    listed: Collection[str] = ()
    indexes: Mapping[str, IndexIntent] = field(default_factory=dict)
    evaluation: EvaluationIntent | None = None
    standing: Collection[Part] = ()  # credentials that gateways have mounted and the routing table names

    def kept(self) -> tuple[Revision, ...]:
        """The revisions whose components must stand, stable first."""
        return tuple(self.revisions[keep.revision] for keep in self.keep if keep.revision in self.revisions)

    def answering(self) -> tuple[Revision, ...]:
        """The revisions that gateways may have to answer by."""
        answering = [keep.revision for keep in self.keep if keep.may_answer(self.listed)]
        return tuple(self.revisions[name] for name in answering if name in self.revisions)


@dataclass(frozen=True)
class Use:
    """One component and everything that decides its size."""

    component: Component
    revision: Revision  # whose in-place settings count
    idle: bool
    floor: int
    weight: int


def children(owner: Owner, wanted: Wanted, surroundings: Surroundings) -> list[Manifest]:
    """Every manifest of the pipeline, in apply order."""
    newest = wanted.newest
    indexing = _indexing(owner, wanted, surroundings)
    image = newest.images
    found: list[Manifest | None] = [
        *indexer.rights(indexing, wanted.indexes),
        *network.policies(owner, newest.spec, _known(wanted), surroundings),
        *_caches(owner, newest),
        *milvus.children(owner, newest.spec, image[names.KIND_MILVUS], surroundings),
        *_embedders(owner, wanted, surroundings),
        *_generators(owner, wanted, surroundings),
        *_gateway(owner, wanted, surroundings),
        indexer.syncer(indexing),
        monitoring.monitor(owner, surroundings),
        *_indexes(owner, wanted),
        *_jobs(wanted, indexing),
    ]
    return [manifest for manifest in found if manifest is not None]


def uses(wanted: Wanted, kind: str) -> list[Use]:
    """The components of a kind, each once, however many revisions share it; a revision that only one of them lets sleep keeps it awake."""
    sharing: dict[str, list[tuple[Keep, Revision, Component]]] = {}
    for keep in wanted.keep:
        revision = wanted.revisions.get(keep.revision)
        for component in revision.components() if revision is not None else ():
            if component.kind == kind and revision is not None:
                sharing.setdefault(component.name, []).append((keep, revision, component))
    return [_use(wanted, shared) for shared in sharing.values()]


def _use(wanted: Wanted, sharing: Sequence[tuple[Keep, Revision, Component]]) -> Use:
    component = sharing[0][2]
    newest = any(component.same_as(other) for other in wanted.newest.components())
    return Use(
        component=component,
        revision=wanted.newest if newest else sharing[0][1],
        idle=all(keep.idle for keep, _, _ in sharing),
        floor=max(keep.floors.get(component.name, 0) for keep, _, _ in sharing),
        weight=max(wanted.weights.get(revision.name, 0) for _, revision, _ in sharing),
    )


def _embedders(owner: Owner, wanted: Wanted, surroundings: Surroundings) -> list[Manifest | None]:
    found: list[Manifest | None] = []
    for use in uses(wanted, names.KIND_EMBEDDER):
        spec = use.revision.spec.embedder.local
        scale = size(spec.replicas, spec.autoscaling, idle=use.idle, floor=use.floor) if spec is not None else size(None, None)
        image = images.of_embedder(use.revision.images, spec.pod) if spec is not None else ""
        found += embedder.children(
            owner, use.component, spec, image=image, size=scale, lane=autoscaling.lane(use.weight), surroundings=surroundings
        )
    return found


def _generators(owner: Owner, wanted: Wanted, surroundings: Surroundings) -> list[Manifest | None]:
    found: list[Manifest | None] = []
    for use in uses(wanted, names.KIND_GENERATOR):
        declared = use.revision.spec.generator
        spec = declared.vllm if declared is not None else None
        scale = size(spec.replicas, spec.autoscaling, idle=use.idle, floor=use.floor) if spec is not None else size(None, None)
        image = use.revision.images[names.KIND_GENERATOR]
        found += generator.children(owner, use.component, spec, image=image, size=scale, surroundings=surroundings)
    return found


def _gateway(owner: Owner, wanted: Wanted, surroundings: Surroundings) -> list[Manifest | None]:
    answering = _newest_first(wanted, wanted.answering())
    image = wanted.newest.images[names.KIND_GATEWAY]
    return gateway.children(owner, wanted.newest.spec, image, answering, surroundings, standing=wanted.standing)


def _newest_first(wanted: Wanted, revisions: Iterable[Revision]) -> tuple[Revision, ...]:
    """The revisions in an order in which the newest decides what of two things is mounted."""
    return tuple(sorted(revisions, key=lambda revision: revision.name != wanted.newest.name))


def _caches(owner: Owner, newest: Revision) -> Iterable[Manifest | None]:
    local = newest.spec.embedder.local
    vllm = newest.spec.generator.vllm if newest.spec.generator is not None else None
    yield models.cache_claim(owner, names.KIND_EMBEDDER, local.model_cache if local is not None else None)
    yield models.cache_claim(owner, names.KIND_GENERATOR, vllm.model_cache if vllm is not None else None)


def _indexing(owner: Owner, wanted: Wanted, surroundings: Surroundings) -> indexer.Indexing:
    spec = wanted.newest.spec
    return indexer.Indexing(
        owner=owner,
        image=wanted.newest.images[names.KIND_INDEXER],
        sources=spec.sources,
        pod=spec.indexer.pod,
        build_parallelism=spec.indexer.build_parallelism,
        revisions=_newest_first(wanted, _known(wanted)),
        embedding=tuple(_embedding(wanted)),
        surroundings=surroundings,
    )


def _known(wanted: Wanted) -> tuple[Revision, ...]:
    """Kept revisions, and those of indexes that still have to be taken away."""
    kept = wanted.kept()
    there = {revision.index.name for revision in kept}
    leaving = [revision for name, revision in sorted(wanted.revisions.items()) if _is_leaving(wanted, revision, there)]
    return (*kept, *leaving) or (wanted.newest,)


def _is_leaving(wanted: Wanted, revision: Revision, there: set[str]) -> bool:
    return revision.index.name in wanted.indexes and revision.index.name not in there


def _embedding(wanted: Wanted) -> Iterator[Revision]:
    """The revisions whose embedders are asked for an index. The Secret of another one must not keep the syncer from starting."""
    for name, intent in wanted.indexes.items():
        filling = _revision_of(wanted, name)
        if filling is not None and intent.work.mode not in ("Stop", "Drop"):
            yield filling
            yield from _compared(wanted, filling)


def _indexes(owner: Owner, wanted: Wanted) -> Iterable[Manifest]:
    for name, intent in wanted.indexes.items():
        revision = _revision_of(wanted, name)
        if revision is not None:
            yield indexer.index(owner, revision, wanted.newest.spec, intent, _compared(wanted, revision))


def _compared(wanted: Wanted, filling: Revision) -> list[Revision]:
    """Revisions that may answer from the same index by another embedder, one for each of those."""
    roles = {keep.revision: keep.role for keep in wanted.keep}
    sharing = [one for one in wanted.kept() if one.index.name == filling.index.name and roles[one.name] != "leaving"]
    return list({one.embedder.name: one for one in sharing if one.embedder.name != filling.embedder.name}.values())


def _revision_of(wanted: Wanted, index: str) -> Revision | None:
    """Whose embedder fills the index: of those that share it, the first that is kept, for that one stands longest."""
    recorded = [revision for _, revision in sorted(wanted.revisions.items())]
    return next((revision for revision in (*wanted.kept(), *recorded) if revision.index.name == index), None)


def _jobs(wanted: Wanted, indexing: indexer.Indexing) -> Iterable[Manifest | None]:
    for name, intent in wanted.indexes.items():
        if _revision_of(wanted, name) is not None:
            yield jobs.work_job(indexing, name, intent.work)
    if wanted.evaluation is None:
        return
    candidate = wanted.revisions.get(wanted.evaluation.candidate)
    if candidate is not None:
        settings = wanted.newest.spec.rollout.evaluation
        yield jobs.evaluation_job(indexing, candidate.index.name, wanted.evaluation, settings)
