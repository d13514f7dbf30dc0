"""The pure middle of a pass: validate, plan, build. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rag_operator import names
from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.controller import analysis, assemble, indexes, mounts
from rag_operator.controller.components import View
from rag_operator.controller.observe import Seen
from rag_operator.desired import addresses, images, revision_record, routing
from rag_operator.desired.access import with_access
from rag_operator.desired.children import Wanted, children
from rag_operator.desired.context import Manifest, Surroundings
from rag_operator.kube.resources import CONTROLLER_REVISIONS, INDEXES
from rag_operator.model.observed import Observed
from rag_operator.model.plan import Plan
from rag_operator.model.revision import Revision
from rag_operator.model.validated import ValidatedPipeline, Violation, validate
from rag_operator.rollout.identity import resolve
from rag_operator.rollout.planner import plan
from rag_runtime.contracts.routing import Route, RoutingTable


@dataclass(frozen=True)
class Judged:
    """A spec that can be used, or why it cannot."""

    valid: ValidatedPipeline | None
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True)
class Decided:
    """What this pass is about: the plan, and the revisions it is made of."""

    plan: Plan
    observed: Observed
    newest: Revision  # gives what belongs to the whole pipeline
    wanted: Revision | None
    revisions: Mapping[str, Revision] = field(default_factory=dict)  # recorded, or to be recorded now; reached as is wanted now
    statuses: Mapping[str, RAGIndexStatus] = field(default_factory=dict)


def judge(seen: Seen) -> Judged:
    """Whether the spec and what it refers to can be used."""
    if seen.spec is None:
        return Judged(None, seen.violations)
    found = validate(seen.spec, seen.references)
    return Judged(found) if isinstance(found, ValidatedPipeline) else Judged(None, tuple(found))


@dataclass(frozen=True)
class Given:
    """What a decision takes beside the observation. `suffix` is random: the end of a new collection's name."""

    templates: Mapping[str, str]  # of images
    baselines: analysis.Baselines
    suffix: str
    now: float


def decide(seen: Seen, judged: Judged, given: Given) -> Decided | None:
    """What to do now; `None` when there is nothing that could be done: the spec is wrong and nothing was ever recorded."""
    recorded = assemble.records(seen.children)
    wanted = _wanted(seen, judged.valid, given, recorded) if judged.valid is not None else None
    newest = wanted or _last_valid(seen, recorded.get(seen.record.stable or ""))
    if newest is None:
        return None
    recorded = {name: with_access(revision, newest) for name, revision in recorded.items()}
    observed = assemble.observed(seen, recorded, wanted, given.baselines, given.now)
    spec = seen.spec or newest.spec
    planned = plan(spec, wanted, observed, seen.record, given.now)
    revisions = dict(recorded)
    if wanted is not None and (wanted.name in revisions or any(keep.revision == wanted.name for keep in planned.keep)):
        revisions[wanted.name] = wanted
    return Decided(planned, replace(observed, revisions=revisions), newest, wanted, revisions, assemble.index_statuses(seen.children))


def refreshed(seen: Seen, decided: Decided | None) -> Decided | None:
    """The decision with its parts as they are after it was carried out, for the status to tell."""
    if decided is None:
        return None
    stable = decided.revisions.get(decided.plan.record.stable or "")
    stored = assemble.stored_table(seen)
    weights = stored[0].weights if stored is not None else {}
    view = View(decided.revisions.values(), seen.children, seen.slow, stable, weights)
    observed = replace(decided.observed, components=view.states(), pairs=view.pairs(), table=stored[0] if stored is not None else None)
    record = decided.plan.record
    if stored is not None:
        record = replace(record, epoch=max(record.epoch, stored[0].epoch))
    statuses = assemble.index_statuses(seen.children)
    return replace(decided, plan=replace(decided.plan, record=record), observed=observed, statuses=statuses)


def build(seen: Seen, decided: Decided, surroundings: Surroundings, now: float) -> list[Manifest]:
    """Every child manifest, in apply order."""
    ready = {name: state.ready for name, state in decided.observed.components.items() if state.kind == "index"}
    table = decided.plan.table
    stored = decided.observed.table
    weights = table.weights if table is not None else stored.weights if stored is not None else {}
    found = assemble.stored_table(seen)
    wanted = Wanted(
        newest=decided.newest,
        keep=decided.plan.keep,
        revisions=decided.revisions,
        weights=weights,
        listed=listed(decided),
        indexes=indexes.intents(decided.plan, decided.revisions, seen.children, statuses=decided.statuses, ready=ready, now=now),
        evaluation=decided.plan.evaluation,
        standing=mounts.standing(seen.key.name, seen.children, found[1] if found is not None else None, weights),
    )
    return children(assemble.owner(seen), wanted, surroundings)


def listed(decided: Decided) -> frozenset[str]:
    """The revisions in the stored table and in the one that is to be written, which comes after everything else."""
    stored, intent = decided.observed.table, decided.plan.table
    return frozenset([*(stored.weights if stored is not None else ()), *(intent.weights if intent is not None else ())])


def table(seen: Seen, decided: Decided) -> RoutingTable | None:
    """The routing table to write now, or `None` when the stored one says what it should."""
    stored = assemble.stored_table(seen)
    intent = decided.plan.table
    if intent is None and stored is None:
        return None
    weights = intent.weights if intent is not None else stored[0].weights if stored is not None else {}
    salt = intent.salt if intent is not None else stored[0].salt if stored is not None else ""
    answering = [
        routing.Answering(decided.revisions[name], weight, _fingerprint(seen, decided, name))
        for name, weight in weights.items()
        if name in decided.revisions
    ]
    if len(answering) < len(weights):
        return None  # a record is lost: what gateways have is better than a table without it
    epoch = _epoch(seen, decided)
    fresh = routing.routing_table(assemble.owner(seen), answering, epoch=epoch + 1, salt=salt)
    if stored is not None:
        fresh = fresh.model_copy(update={"routes": tuple(_mounted(seen, decided, route, stored[1]) for route in fresh.routes)})
    if stored is not None and stored[1].model_copy(update={"epoch": fresh.epoch}) == fresh:
        return None
    return fresh


def entrusting_nobody(decided: Decided) -> Decided:
    """The decision without what its table would give for the first time: a candidate more than it has, or a place in the table at all.

    What takes traffic away stays, and so does going back to a revision that answered before.
    """
    stored, intent = decided.observed.table, decided.plan.table
    if intent is None:
        return decided
    before = stored.weights if stored is not None else {}
    rollout = decided.plan.record.rollout
    gains = rollout is not None and intent.weights.get(rollout.candidate, 0) > before.get(rollout.candidate, 0)
    known = {name: weight for name, weight in intent.weights.items() if weight or name in before}
    held = gains or not before
    return replace(decided, plan=replace(decided.plan, table=None if held else replace(intent, weights=known)))


def _mounted(seen: Seen, decided: Decided, route: Route, stored: RoutingTable) -> Route:
    """The route, or the stored one with its weight as long as not every gateway has what the new one names."""
    known = next((one for one in stored.routes if one.revision == route.revision), None)
    if known is None or not mounts.lacking(seen.children, decided.revisions[route.revision]):
        return route
    return known.model_copy(update={"weight": route.weight})


def _epoch(seen: Seen, decided: Decided) -> int:
    stored = decided.observed.table
    gateways = [pod.epoch_served or 0 for pod in decided.observed.gateways]
    return max([seen.record.epoch, stored.epoch if stored is not None else 0, *gateways])


def _fingerprint(seen: Seen, decided: Decided, name: str) -> str | None:
    """What the revision's embedder said it is when it was compared with the index; the index's own, while that is not known or differs."""
    revision = decided.revisions[name]
    status = decided.statuses.get(revision.index.name)
    if status is None or status.observed is None:
        return None
    url = addresses.embedder_url(assemble.owner(seen), revision)
    own = next((one for one in status.observed.embedders if one.url == url and one.probes != "Different"), None)
    return (own.model_fingerprint if own is not None else None) or status.observed.model_fingerprint


def _last_valid(seen: Seen, stable: Revision | None) -> Revision | None:
    """What was wanted when the spec could last be used: what belongs to the whole pipeline was applied as it says, and stays."""
    if stable is None:
        return None
    child = seen.children.get((CONTROLLER_REVISIONS.kind, revision_record.name(assemble.owner(seen), stable)))
    found = revision_record.last_valid(child.annotations) if child is not None else None
    return resolve(seen.key.name, found[0], reindex=seen.record.reindex, images=found[1]) if found is not None else stable


def _wanted(seen: Seen, valid: ValidatedPipeline, given: Given, recorded: Mapping[str, Revision]) -> Revision:
    spec = valid.spec
    before = recorded.get(seen.record.stable or "") or next(iter(recorded.values()), None)
    wanted = resolve(
        seen.key.name,
        spec,
        template=valid.template,
        reindex=seen.record.reindex,
        images=images.chosen(given.templates, spec, before),
    )
    known = recorded.get(wanted.name)
    collection = known.collection if known is not None else _collection(seen, wanted, recorded, given.suffix)
    return replace(wanted, collection=collection, parser=known.parser if known is not None else wanted.parser)


def _collection(seen: Seen, wanted: Revision, recorded: Mapping[str, Revision], suffix: str) -> str:
    """The name of the wanted index's collection: what another revision with the same index recorded, or a new one."""
    for revision in recorded.values():
        if revision.index.name == wanted.index.name:
            return revision.collection
    child = seen.children.get((INDEXES.kind, wanted.index.name))
    if child is not None and not indexes.is_collecting(child):
        # An index without a record: restored. It is adopted with the data it names.
        return str(child.body()["spec"]["collection"])
    return f"rag_{wanted.index.digest[: names.HASH_LENGTH]}_{suffix}"


def spec_of(seen: Seen, decided: Decided | None) -> RAGPipelineSpec | None:
    """The spec that the status speaks about: what is wanted, or what runs while that is wrong."""
    return seen.spec or (decided.newest.spec if decided is not None else None)
