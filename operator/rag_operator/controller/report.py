"""Telling people: one status write at the end of a pass, skipped when nothing changed, and Events of what did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rag_operator import metrics, names
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.controller import assemble, events, indexes, mounts, parts, pods
from rag_operator.controller.decide import Decided, Judged, listed, spec_of
from rag_operator.controller.mirror import Key
from rag_operator.controller.observe import Seen
from rag_operator.controller.writer import Writer
from rag_operator.kube.client import Client
from rag_operator.kube.resources import INDEXES, PIPELINES, PODS
from rag_operator.model.plan import Note
from rag_operator.status.freshness import changes_in, oldest_listing
from rag_operator.status.index import index_conditions
from rag_operator.status.situation import Failure, Situation
from rag_operator.status.summarize import summarize

# Seconds between looks at pods that take long to start; what keeps them is told by Events, which are not watched.
_STARTING = 2.0
# Seconds between looks at what is missing and cannot be watched, and at Jobs without a pod.
_UNWATCHED = 10.0
_LONGEST = 1000


class Reporter:
    """Writes status and Events, and counts pipelines."""

    def __init__(self, client: Client, writer: Writer, *, look_again: float, upgrade: str) -> None:
        self._herald, self._writer = events.Herald(client), writer
        self._look_again, self._upgrade = look_again, upgrade
        self.census = metrics.Census()

    async def report(self, seen: Seen, judged: Judged, decided: Decided | None, failure: Failure | None, now: float) -> float:
        """Say how things stand. Returns the seconds after which to look again."""
        situation = self._situation(seen, judged, decided, failure, now)
        status = summarize(situation)
        wire = status.to_wire()
        conditions = {condition.type: condition.status for condition in status.conditions}
        self.census.record(seen.key, status.phase or "Pending", conditions)
        _publish_freshness(seen, situation)
        notes = [*(decided.plan.notes if decided is not None else ()), *events.transitions(seen.status, status)]
        await self._herald.post(seen, notes, now)
        if wire != (seen.body.get("status") or {}):
            await self._write(seen, wire)
        if decided is not None and not situation.suspended:
            await self._report_indexes(seen, decided, now)
        return min([self._look_again, *_looks(seen, situation, decided, now)])

    def forget(self, key: Key) -> None:
        """The pipeline does not exist any more: nothing is counted or told of it."""
        self.census.forget(key)
        metrics.publish_listing(key.namespace, key.name, None)

    async def say_of_deletion(self, seen: Seen, reason: str, message: str) -> None:
        """Say what deleting waits for; everything else stays as it was said last."""
        present = seen.body.get("status") or {}
        wire = {**present, "reason": reason, "message": message[:_LONGEST]}
        if wire != present:
            await self._write(seen, wire)

    async def announce(self, seen: Seen, reason: str, message: str, now: float) -> None:
        """Warn of something that no status can tell, because there will be none."""
        await self._herald.post(seen, [Note(reason, message, warning=True)], now)

    async def _report_indexes(self, seen: Seen, decided: Decided, now: float) -> None:
        """Say of each index what follows from what its indexers reported."""
        for (kind, name), child in seen.children.items():
            state, status = decided.observed.components.get(name), decided.statuses.get(name)
            if kind != INDEXES.kind or state is None or status is None or child.deleting:
                continue
            found = index_conditions(state, status, decided.newest.spec.sources, child.generation, now)
            if found != status.conditions:
                manifest = {
                    "apiVersion": names.API_VERSION,
                    "kind": INDEXES.kind,
                    "metadata": {"name": name, "namespace": child.namespace, "uid": child.uid},
                    "status": {"conditions": [condition.to_wire() for condition in found]},
                }
                await self._writer.write_status(INDEXES, manifest)

    async def _write(self, seen: Seen, status: Mapping[str, Any]) -> None:
        meta = seen.body["metadata"]
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.PIPELINE_KIND,
            # The version that was read: a status made from an older view is never written over a newer one.
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "resourceVersion": meta["resourceVersion"]},
            "status": status,
        }
        await self._writer.write_status(PIPELINES, manifest)

    def _situation(self, seen: Seen, judged: Judged, decided: Decided | None, failure: Failure | None, now: float) -> Situation:
        spec = spec_of(seen, decided)
        found = Situation(
            generation=seen.generation,
            before=seen.status,
            record=seen.record,
            now=now,
            spec=spec,
            violations=judged.violations,
            failure=failure,
            endpoint=parts.endpoint(seen.key.namespace, seen.key.name, spec, seen.children) if spec is not None else None,
            upgrade=self._upgrade if spec is not None and spec.runtime.version != self._upgrade else None,
        )
        return _with_decision(found, seen, spec, decided) if spec is not None and decided is not None else found


def _with_decision(found: Situation, seen: Seen, spec: RAGPipelineSpec, decided: Decided) -> Situation:
    return replace(
        found,
        record=decided.plan.record,
        wanted=decided.wanted.name if decided.wanted is not None else None,
        plan=decided.plan,
        observed=decided.observed,
        parts=parts.parts(seen.key.name, spec, seen.children, seen.slow, lacking_of(seen, decided)),
        unfinished=parts.unfinished(seen.children, seen.slow),
        indexes=decided.statuses,
    )


def lacking_of(seen: Seen, decided: Decided) -> tuple[str, ...]:
    """The Secrets that revisions are answered with, or will be, and that not every gateway has mounted."""
    there = listed(decided)
    answering = {keep.revision for keep in decided.plan.keep if keep.may_answer(there)}
    needed = [revision for name, revision in decided.revisions.items() if name in answering]
    return tuple(sorted({secret for revision in needed for secret in mounts.lacking(seen.children, revision)}))


def _publish_freshness(seen: Seen, situation: Situation) -> None:
    serving = situation.serving
    listed = oldest_listing(situation.indexes.get(serving.index.name)) if serving is not None else None
    metrics.publish_listing(seen.key.namespace, seen.key.name, listed)


def _looks(seen: Seen, situation: Situation, decided: Decided | None, now: float) -> Iterator[float]:
    """When something may have changed without an event."""
    if situation.violations:
        yield _UNWATCHED  # what the spec refers to carries no label of ours
    if decided is None:
        return
    if decided.plan.requeue_after is not None:
        yield decided.plan.requeue_after
    serving = situation.serving
    if serving is not None and situation.spec is not None:
        stale = changes_in(situation.spec.sources, situation.indexes.get(serving.index.name), now)
        if stale is not None:
            yield stale + 0.5
    for due in assemble.results_due(seen.children, now):
        yield max(0.5, due)
    tried = {revision.index.name for revision in decided.revisions.values()} if not situation.suspended else set()
    for child in seen.children.values():
        if pods.is_waited_for(child):
            yield _STARTING if child.kind == PODS.kind else _UNWATCHED
        if child.kind == INDEXES.kind and child.name in tried:
            wait = indexes.retry_in(child, seen.children, now)
            if wait is not None:
                yield max(0.5, wait)
