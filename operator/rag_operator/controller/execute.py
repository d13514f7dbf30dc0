"""Carrying out a plan. The order is the promise: records, children, routing table, evaluation (a child), collection, pruning.

Every step is safe to repeat, and what announces a later one is written before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rag_operator import names
from rag_operator.controller import assemble, decide, pods
from rag_operator.controller.decide import Decided
from rag_operator.controller.observe import Seen
from rag_operator.controller.writer import Writer
from rag_operator.desired import revision_record, routing
from rag_operator.desired.context import Manifest
from rag_operator.kube.child import Child
from rag_operator.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, JOBS
from rag_operator.model.plan import Collect
from rag_operator.model.revision import Revision


async def execute(writer: Writer, seen: Seen, decided: Decided, manifests: list[Manifest]) -> None:
    """Bring the cluster one pass closer to the plan. Raises the first refusal, after everything else was tried."""
    await _record(writer, seen, decided)
    refused = await writer.bring(manifests, seen.children)
    # A child that is refused must not keep traffic on a revision that is to lose it. Nobody gets any for the first time, though.
    await _route(writer, seen, decided if refused is None else decide.entrusting_nobody(decided))
    for step in decided.plan.collect:
        await _collect(writer, seen, step)
    await _forget(writer, seen, decided.plan.forget)
    await _stop_jobs(writer, seen, manifests)
    await writer.prune(manifests, seen.children, seen.uid)
    if refused is not None:
        raise refused


async def _record(writer: Writer, seen: Seen, decided: Decided) -> None:
    """Record every kept revision before its first child."""
    owner = assemble.owner(seen)
    number = max([0, *(record.body().get("revision", 0) for record in _records(seen))])
    for keep in decided.plan.keep:
        revision = decided.revisions.get(keep.revision)
        if revision is None:
            continue
        child = seen.children.get((CONTROLLER_REVISIONS.kind, revision_record.name(owner, revision)))
        if child is None:
            number += 1
            await writer.bring_one(revision_record.manifest(owner, revision, number), seen.children)
        else:
            await _refresh(writer, seen, child, revision, decided.newest)


async def _refresh(writer: Writer, seen: Seen, child: Child, revision: Revision, newest: Revision) -> None:
    """Keep the in-place settings of a record as they were last wanted, and one that was restored as ours. What it is cannot change."""
    wanted = revision_record.refreshed(assemble.owner(seen), child.body(), revision, newest)["metadata"]
    change = {}
    if any(child.annotations.get(key) != value for key, value in wanted["annotations"].items()):
        change["annotations"] = wanted["annotations"]
    if child.owner is None:
        change["ownerReferences"] = wanted["ownerReferences"]
    if change:
        await writer.amend(child, change)


async def _route(writer: Writer, seen: Seen, decided: Decided) -> None:
    """Write the routing table at the version it was read at."""
    owner = assemble.owner(seen)
    child = seen.children.get((CONFIG_MAPS.kind, names.routing_table(owner.name)))
    fresh = decide.table(seen, decided)
    if fresh is not None:
        await writer.bring_at(routing.config_map(owner, fresh), seen.children)
        return
    stored = assemble.stored_table(seen)
    if child is not None and stored is not None:
        # Nothing new to say; bring back labels and owner if somebody took them away.
        await writer.bring_at(routing.config_map(owner, stored[1]), seen.children)


async def _collect(writer: Writer, seen: Seen, step: Collect) -> None:
    """The last step of taking a component away; the ones before are in the manifests of its index."""
    if step.step == "Delete":
        await writer.remove(seen.children, seen.uid, step.why, lambda child: _belongs(child, step.component))


def _belongs(child: Child, component: str) -> bool:
    return child.component == component and child.kind not in ("PersistentVolumeClaim", CONTROLLER_REVISIONS.kind, "Pod")


async def _forget(writer: Writer, seen: Seen, revisions: Iterable[str]) -> None:
    """Delete the records of revisions of which nothing stands any more."""
    gone = set(revisions)
    if gone:
        doomed = {child.name for child in _records(seen) if child.body().get("data", {}).get("name") in gone}
        await writer.remove(
            seen.children, seen.uid, "nothing of it stands any more", lambda child: _is_record(child) and child.name in doomed
        )


async def _stop_jobs(writer: Writer, seen: Seen, manifests: Iterable[Mapping[str, object]]) -> None:
    """Stop Jobs that nobody wants any more, such as the build of an index that was superseded."""
    wanted = {_name(manifest) for manifest in manifests if manifest["kind"] == JOBS.kind}
    await writer.remove(
        seen.children,
        seen.uid,
        "nobody wants its result",
        lambda child: child.kind == JOBS.kind and child.name not in wanted and not pods.job_ended(child),
    )


def _name(manifest: Mapping[str, object]) -> str:
    metadata = manifest["metadata"]
    return str(metadata["name"]) if isinstance(metadata, Mapping) else ""


def _records(seen: Seen) -> list[Child]:
    return [child for child in seen.children.values() if _is_record(child)]


def _is_record(child: Child) -> bool:
    return child.kind == CONTROLLER_REVISIONS.kind
