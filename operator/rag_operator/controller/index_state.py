"""How an index stands, from what its indexers reported and what may still write into it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from rag_operator import names
from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.controller import pods
from rag_operator.desired import addresses
from rag_operator.desired.context import Owner
from rag_operator.kube.child import Child, Children
from rag_operator.kube.resources import INDEXES, JOBS, PODS
from rag_operator.model.observed import MISMATCH, ComponentState
from rag_operator.model.revision import Revision

COLD: Final = "Cold"
_DONE: Final = 1 << 40  # progress beyond every count of documents and chunks, so that being done is progress, too, but only once


@dataclass(frozen=True)
class Pair:
    """Another embedder than the one that fills an index. `trusted`: the table names it, so not to have looked takes nothing away."""

    url: str
    trusted: bool


def index_status(name: str, children: Children) -> RAGIndexStatus | None:
    """What indexers reported of an index; `None` when there is none, or it cannot be read."""
    child = children.get((INDEXES.kind, name))
    if child is None:
        return None
    try:
        return RAGIndexStatus.model_validate(child.status())
    except ValidationError:
        return None


def other_pair(revision: Revision, children: Children, *, trusted: bool) -> Pair | None:
    """The revision's embedder with its index, unless it is the one that fills the index."""
    index = children.get((INDEXES.kind, revision.index.name))
    filling = _filling(index) if index is not None else None
    if index is None or filling is None:
        return None
    url = addresses.embedder_url(Owner(index.pipeline, index.namespace, ""), revision)
    return Pair(url, trusted) if url != filling else None


def _filling(index: Child) -> str | None:
    found: str | None = ((index.body().get("spec") or {}).get("embedder") or {}).get("url")
    return found


def state(name: str, children: Children, since: float, *, answering: bool = False, pair: Pair | None = None) -> ComponentState:
    """An index as the embedder that fills it finds it, or as the one of `pair` does. `since`: how new its listing must be."""
    child = children.get((INDEXES.kind, name))
    if child is None:
        return ComponentState("index", name, reason="Missing", message="not made yet")
    status = index_status(name, children)
    if status is None:
        return _unreadable(child, answering=answering)
    built, caught = is_built(status), _caught_up(status, since)
    cold_until = _work(child).get("coldUntil")
    reason, message = _cold(child, status, cold_until) or _reason(status, built=built, caught_up=caught, answering=answering)
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
        progress=_progress(status, caught_up=caught),
        built=built,
        caught_up=caught,
        failed_documents=_failed_documents(status),
        stopped=_stopped(name, status, children),
        collecting=bool((child.body().get("spec") or {}).get("collecting")),
        dropped=done == "Drop",
        cold=bool(cold_until),
        woken=_woken(child, status),
    )


def _work(child: Child) -> dict[str, Any]:
    found: dict[str, Any] = (child.body().get("spec") or {}).get("work") or {}
    return found


def _cold(child: Child, status: RAGIndexStatus, until: str | None) -> tuple[str, str] | None:
    """Why an index that is out of memory, or was, cannot be asked. What its syncer said of it before it heard does not count."""
    if until:
        return COLD, f"kept for rollback out of memory, until {until} at most: only deletions are applied"
    work, heard = _work(child), status.acknowledged
    if work.get("mode") != "Sync" or heard is None or heard.mode != "Sync":
        return None
    if heard.cold_until is None and heard.attempt == work.get("attempt", 0):
        return None
    return "Loading", "it was kept out of memory and is being loaded again"


def _woken(child: Child, status: RAGIndexStatus) -> bool:
    """Whether an index was cold before: going cold counts an attempt, which filling it had not."""
    work, filled = _work(child), status.completed
    if work.get("mode") != "Sync" or work.get("coldUntil") or filled is None:
        return False
    return bool(work.get("attempt", 0) > filled.attempt)


def _stopped(name: str, status: RAGIndexStatus, children: Children) -> bool:
    """Whether nobody writes into the index any more: the syncer let go of it, and no Job of it can still run.

    A Job that was deleted leaves its pods behind for as long as they take to end, and what they build would outlive the drop.
    """
    let_go = status.acknowledged is not None and status.acknowledged.mode in ("Stop", "Drop")
    return let_go and not any(_may_write(name, child) for child in children.values())


def _may_write(index: str, child: Child) -> bool:
    if child.kind == JOBS.kind:
        return (child.component == index or child.name.startswith(f"{index}-")) and not pods.job_ended(child)
    indexes = child.kind == PODS.kind and child.component == index and child.labels.get(names.LABEL_KIND) == names.KIND_INDEXER
    return indexes and not pods.ended(child)


def is_built(status: RAGIndexStatus) -> bool:
    """Whether the build or copy of an index ended."""
    return _built_at(status) is not None


def _built_at(status: RAGIndexStatus) -> float | None:
    if status.build is not None and status.build.completion_time is not None:
        return status.build.completion_time.seconds
    done = status.completed is not None and status.completed.mode in ("Build", "Copy")
    return 0.0 if done else None


def _failed_documents(status: RAGIndexStatus) -> int:
    """Documents that the index lacks because they could not be indexed."""
    if status.sync is not None:
        return status.sync.failed_count
    return status.build.failed if status.build is not None else 0


def _unreadable(child: Child, *, answering: bool) -> ComponentState:
    """A status that this operator cannot read, written by a newer one: what it says is not known, and nothing follows from it."""
    message = f"the status of RAGIndex {child.name} cannot be read: was the operator downgraded?"
    return ComponentState(
        kind="index",
        name=child.name,
        uid=child.uid,
        exists=True,
        ready=answering and not child.deleting,
        reason="" if answering else "StatusUnreadable",
        message="" if answering else message,
        built=answering,
        caught_up=answering,
        collecting=bool((child.body().get("spec") or {}).get("collecting")),
    )


def _reason(status: RAGIndexStatus, *, built: bool, caught_up: bool, answering: bool) -> tuple[str, str]:
    seen = status.observed
    if not built:
        build = status.build
        # Numbers are in the RAGIndex: a message must not change with every document.
        return "Building", build.message if build is not None and build.message else "documents are being indexed"
    if answering:
        # It was ready when the table first named it; a listing under way, or a syncer that starts again, takes nothing away from it.
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


def _progress(status: RAGIndexStatus, *, caught_up: bool) -> int:
    if caught_up:
        return _DONE  # a corpus that grows on and on is no progress of a rollout
    build = status.build.documents + status.build.chunks if status.build is not None else 0
    return build + (status.sync.chunks if status.sync is not None else 0) + int(is_built(status))


def _caught_up(status: RAGIndexStatus, since: float) -> bool:
    """Whether the index applied a listing that began after its build ended, and is no older than stable's (`since`)."""
    listing = status.sync.listing if status.sync is not None else None
    built = _built_at(status)
    return listing is not None and built is not None and listing.start_time.seconds >= max(since, built)


def listing_start(stable: Revision | None, children: Children) -> float:
    """When the listing of the stable index began; 0 when it has none."""
    status = index_status(stable.index.name, children) if stable is not None else None
    listing = status.sync.listing if status is not None and status.sync is not None else None
    return listing.start_time.seconds if listing is not None else 0.0


def allowance(stable: Revision | None) -> float:
    """By how many seconds the listing of an index that answers already may be older than stable's.

    All apply the same listings, and tell of them one a moment after the other: it must not seem to fall behind with every listing.
    """
    return 60.0 + 2 * max(source.sync_interval.seconds for source in stable.spec.sources) if stable is not None else 0.0
