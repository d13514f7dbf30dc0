"""What each index of a pipeline is to do now. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import ValidationError

from rag_operator.api.scalars import Timestamp
from rag_operator.api.v1alpha1.index_status import RAGIndexStatus, Work
from rag_operator.controller import pods
from rag_operator.controller.index_state import index_status, is_built
from rag_operator.desired import jobs
from rag_operator.desired.context import IndexIntent
from rag_operator.desired.work import Collecting, Donor, next_work
from rag_operator.kube.child import Child, Children
from rag_operator.kube.resources import INDEXES, JOBS
from rag_operator.model.plan import Plan
from rag_operator.model.revision import Revision
from rag_operator.rollout.identity import declared_index

# Seconds between a Job that ended for nothing and its next attempt: doubling, for what is wrong is mostly outside.
_RETRY_FIRST = 5.0
_RETRY_LIMIT = 300.0
_IRREVOCABLE: tuple[Collecting, ...] = ("MarkCollecting", "Drop", "Delete")


def intents(
    plan: Plan,
    revisions: Mapping[str, Revision],
    children: Children,
    *,
    statuses: Mapping[str, RAGIndexStatus],
    ready: Mapping[str, bool],
    now: float,
) -> dict[str, IndexIntent]:
    """The intent of every index that a kept revision has, or that is being collected. `ready`: which indexes could be copied from."""
    collected = {step.component: step.step for step in plan.collect if step.kind == "index"}
    keeps = [(revisions[keep.revision].index.name, keep) for keep in plan.keep if keep.revision in revisions]
    kept = {name for name, _ in keeps}
    awake = {name for name, keep in keeps if not keep.idle}
    retired = {name for name, keep in keeps if keep.role == "retired"}
    found = {}
    for revision in revisions.values():
        name = revision.index.name
        child = children.get((INDEXES.kind, name))
        if name in kept or (child is not None and name not in found):
            # An idle revision's embedder has no pods: who tried to keep its index up to date would wait for them.
            # One that is cold and has to be filled anew waits for that until somebody goes back.
            status = statuses.get(name)
            empty = child is None or (status is not None and not is_built(status))
            idle: Collecting | None = "StopWriters" if name in kept - awake and (name not in retired or empty) else None
            cold_until = _cold_until(plan, name, children) if name in retired - awake else None
            step = collected.get(name) or _standing_step(child, kept=name in kept) or idle
            donors = _donors(name, revisions.values(), children, ready)
            failed = child is not None and (retry_in(child, children, now) or 1.0) <= 0
            intent = _intent(revision, child, statuses.get(name), step, donors, failed=failed, cold_until=cold_until)
            found[name] = replace(intent, approved_deletions=plan.record.approved_deletions.get(name))
    return found


def present_work(child: Child | None) -> Work | None:
    """The work that a RAGIndex asks for."""
    raw = (child.body().get("spec") or {}).get("work") if child is not None else None
    try:
        return Work.model_validate(raw) if raw else None
    except ValidationError:
        return None


def is_collecting(child: Child | None) -> bool:
    """Whether the index is being removed, which cannot be taken back."""
    return child is not None and bool((child.body().get("spec") or {}).get("collecting"))


def _cold_until(plan: Plan, name: str, children: Children) -> Timestamp | None:
    """Until when an index is kept out of memory; `None` while another one is copied from it."""
    works = (present_work(child) for (kind, _), child in children.items() if kind == INDEXES.kind)
    copied = any(work is not None and work.from_ is not None and work.mode == "Copy" and work.from_.index == name for work in works)
    retired = plan.record.retired
    return Timestamp.at(datetime.fromtimestamp(retired.until, UTC)) if retired is not None and not copied else None


def _standing_step(child: Child | None, *, kept: bool) -> Collecting | None:
    """What to keep saying of an index about which the plan says nothing: nobody wants it, or it is on its way out."""
    work = present_work(child)
    if is_collecting(child):
        return "Drop" if work is not None and work.mode == "Drop" else "MarkCollecting"
    # One that was cold stays out of memory until it is dropped: gateways that still answer by another revision do not wake it.
    rests = work is not None and (work.mode == "Stop" or work.cold_until is not None)
    return "StopWriters" if rests and not kept else None


def _intent(
    revision: Revision,
    child: Child | None,
    status: RAGIndexStatus | None,
    step: Collecting | None,
    donors: Iterable[Donor],
    *,
    failed: bool,
    cold_until: Timestamp | None = None,
) -> IndexIntent:
    identity = declared_index(revision.spec, str(revision.index.inputs.get("reindex", "")))
    present = present_work(child)
    if present is not None and status is None and step is None:
        return IndexIntent(identity=identity, work=present, collecting=is_collecting(child))  # unreadable: nothing follows from it
    work = next_work(
        identity,
        present,
        built=status is not None and is_built(status),
        failed=failed,
        collect=step,
        donors=donors,
        cold_until=cold_until,
    )
    return IndexIntent(identity=identity, work=work, collecting=is_collecting(child) or step in _IRREVOCABLE)


def _donors(name: str, revisions: Iterable[Revision], children: Children, ready: Mapping[str, bool]) -> Iterator[Donor]:
    for revision in revisions:
        other = revision.index.name
        if other != name and ready.get(other) and not is_collecting(children.get((INDEXES.kind, other))):
            yield Donor(other, revision.collection, declared_index(revision.spec, str(revision.index.inputs.get("reindex", ""))))


def retry_in(child: Child, children: Children, now: float) -> float | None:
    """Seconds until the work of an index whose Job ended without its result is tried again; `None` while it may still come.

    A Job that succeeded for an index that was deleted since told its result to nobody, and is not run again.
    """
    work = present_work(child)
    name = jobs.work_job_name(child.name, work) if work is not None else None
    job = children.get((JOBS.kind, name)) if name is not None else None
    if job is None or work is None or _told(child, work, children):
        return None
    ended = pods.job_ended_at(job)
    return min(_RETRY_LIMIT, _RETRY_FIRST * 2.0 ** min(work.attempt, 16)) - (now - ended) if ended is not None else None


def _told(child: Child, work: Work, children: Children) -> bool:
    status = index_status(child.name, children)
    return status is not None and status.completed is not None and status.completed.mode == work.mode
