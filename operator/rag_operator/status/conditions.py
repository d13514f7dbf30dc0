"""The conditions of a pipeline, one function each. Reasons are constants; messages say nothing that changes by itself.

`Ready`, `Reconciling` and `Stalled` are kstatus's: whoever reads them so (Argo CD, Flux, kpt) sees a rollout under way as in progress, a
refused spec as failed. At least one of the three is True. `Unknown` means that we could not look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from rag_operator.api.scalars import Timestamp
from rag_operator.api.v1alpha1.status import Condition
from rag_operator.model.observed import ComponentState
from rag_operator.status.freshness import freshness
from rag_operator.status.situation import Part, PartName, Situation

READY: Final = "Ready"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
SPEC_VALID: Final = "SpecValid"
EMBEDDER_READY: Final = "EmbedderReady"
VECTOR_STORE_READY: Final = "VectorStoreReady"
INDEX_FRESH: Final = "IndexFresh"
GENERATOR_READY: Final = "GeneratorReady"
GATEWAY_READY: Final = "GatewayReady"
SCALING_READY: Final = "ScalingReady"
REJECTED: Final = "Rejected"  # a reason

_LONGEST: Final = 1000
_LONGEST_REASON: Final = 128
# Reasons that pass by themselves.
_WAITING: Final = frozenset({"Missing", "Starting", "Building", "CatchingUp", "Loading", "Indexing", "Unverified"})


@dataclass(frozen=True)
class Verdict:
    """What one condition says."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def spec_valid(situation: Situation) -> Verdict:
    """Set by the pass. True: the spec and everything it refers to can be used."""
    if situation.violations:
        return Verdict("False", situation.violations[0].reason, "; ".join(str(violation) for violation in situation.violations))
    return Verdict("True", "Valid")


def embedder_ready(situation: Situation) -> Verdict:
    """True: the embedder of the serving revision takes requests."""
    return _component(situation.state("embedder"), "Serving")


def generator_ready(situation: Situation) -> Verdict:
    """True: the generator of the serving revision takes requests, or the pipeline has none."""
    revision = situation.serving
    if revision is not None and revision.generator is None:
        return Verdict("True", "NotConfigured", "the pipeline retrieves and quotes")
    return _component(situation.state("generator"), "Serving")


def vector_store_ready(situation: Situation) -> Verdict:
    """True: Milvus takes requests, as far as its pods or its object say; of an external one the indexers tell."""
    return _part(situation, "VectorStore")


def gateway_ready(situation: Situation) -> Verdict:
    """True: a gateway pod is ready."""
    return _part(situation, "Gateway")


def scaling_ready(situation: Situation) -> Verdict:
    """True: every autoscaler reads its metric. When it cannot, replicas stay as they are."""
    return _part(situation, "Scaling")


def index_fresh(situation: Situation) -> Verdict:
    """True: the index that serves holds every source as of at most its maxStaleness ago."""
    revision = situation.serving
    if situation.spec is None or revision is None:
        return Verdict("Unknown", "NoIndex", "there is no index yet")
    found = freshness(situation.spec.sources, situation.indexes.get(revision.index.name), situation.now)
    if found.state == "Unknown":
        return Verdict("Unknown", "NotSynced", "the index was not yet brought up to date with its sources")
    if found.deletions_held:
        message = (
            "a listing lacks so many documents that nothing was deleted; approve with ragops.dev/approve-deletions, or mend the source"
        )
        return Verdict("False", "DeletionHeld", message)
    if found.stale_sources:
        return Verdict("False", "Stale", f"older than its maxStaleness: {', '.join(found.stale_sources)}")
    return Verdict("True", "Fresh")


def ready(situation: Situation) -> Verdict:
    """True: questions are answered now, by the stable revision."""
    if situation.stable is None:
        reason, message = why_not_serving(situation)
        return Verdict("False", reason, message)
    gateway = situation.parts.get("Gateway")
    if gateway is None or gateway.ready is None:
        return Verdict("Unknown", "NotObserved", "the gateway could not be looked at")
    if not gateway.ready:
        return Verdict("False", gateway.reason, gateway.message)
    if not situation.stable_answers():
        reason, message = why_not_serving(situation)
        return Verdict("False", reason, message)
    return Verdict("True", "Serving", "questions are answered")


def stalled(situation: Situation) -> Verdict:
    """True: nothing more will happen until the spec, what it refers to, or the cluster is changed."""
    if situation.violations:
        return Verdict("True", situation.violations[0].reason, str(situation.violations[0]))
    if situation.failure is not None and situation.failure.lasting:
        return Verdict("True", situation.failure.reason, situation.failure.message)
    if situation.suspended:
        return Verdict("True", "Suspended", "spec.suspend is set")
    if situation.rejected:
        return Verdict("True", REJECTED, rejection(situation))
    return Verdict("False", "Progressing" if reconciling(situation).status == "True" else "Settled")


def reconciling(situation: Situation) -> Verdict:
    """True: the operator is bringing the cluster to the spec: a first build, a rollout, a repair."""
    if situation.violations or situation.suspended or (situation.failure is not None and situation.failure.lasting):
        return Verdict("False", "Halted")
    if situation.failure is not None:
        return Verdict("True", situation.failure.reason, situation.failure.message)
    if situation.record.rollout is not None:
        return Verdict("True", f"{situation.record.rollout.phase}", situation.record.rollout.held)
    if situation.rejected:
        return Verdict("False", "Halted")
    if situation.stable is None or ready(situation).status != "True":
        return Verdict("True", "WaitingForParts", why_not_serving(situation)[1])
    if situation.unfinished:
        return Verdict("True", situation.unfinished[0].reason, situation.unfinished[0].message)
    return Verdict("False", "Settled")


def rejection(situation: Situation) -> str:
    """Why what the spec asks for is not tried again, in a sentence."""
    decision = next((one for one in situation.record.decisions if one.revision == situation.wanted), None)
    why = f": {decision.why}" if decision is not None and decision.why else ""
    return f"revision {situation.wanted} was rejected{why}; change the spec, or annotate ragops.dev/retry"


def why_not_serving(situation: Situation) -> tuple[str, str]:
    """The first thing that stands between the serving revision and an answer: reason and message."""
    if situation.violations:
        return situation.violations[0].reason, str(situation.violations[0])
    if situation.failure is not None:
        return situation.failure.reason, situation.failure.message
    if situation.suspended:
        return "Suspended", "spec.suspend is set"
    found = list(_in_the_way(situation))
    # What a person must act on first; otherwise what the rest waits for.
    acute = [one for one in found if one[0] not in _WAITING]
    return next(iter([*acute, *found]), ("Provisioning", "waits for its first revision to become ready"))


def _in_the_way(situation: Situation) -> Iterator[tuple[str, str]]:
    store, gateway = situation.parts.get("VectorStore"), situation.parts.get("Gateway")
    if store is not None and store.ready is False:
        yield store.reason, store.message
    for state in (situation.state("embedder"), situation.state("generator"), situation.state("index")):
        if state is not None and not state.ready:
            yield state.reason or "NotReady", state.message
    # Last: a gateway is ready only when there is something to answer by.
    if gateway is not None and gateway.ready is False:
        yield gateway.reason, gateway.message


_ALL: Final[tuple[tuple[str, Callable[[Situation], Verdict]], ...]] = (
    (READY, ready),
    (RECONCILING, reconciling),
    (STALLED, stalled),
    (SPEC_VALID, spec_valid),
    (EMBEDDER_READY, embedder_ready),
    (VECTOR_STORE_READY, vector_store_ready),
    (INDEX_FRESH, index_fresh),
    (GENERATOR_READY, generator_ready),
    (GATEWAY_READY, gateway_ready),
    (SCALING_READY, scaling_ready),
)


def conditions(situation: Situation) -> tuple[Condition, ...]:
    """All conditions, with the time of the last transition kept where the status stays the same."""
    return tuple(_conditions(situation))


def settled(kind: str, verdict: Verdict, before: Condition | None, generation: int, now: Timestamp) -> Condition:
    """A verdict as a condition; the time of the last transition stays while the status does."""
    return Condition(
        type=kind,
        status=verdict.status,
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before is not None and before.status == verdict.status else now,
        reason=_constant(verdict.reason),
        message=verdict.message[:_LONGEST],
    )


def _constant(reason: str) -> str:
    # The kubelet says "OutOfnvidia.com/gpu", which no condition takes; a status that cannot be told would hold everything up.
    word = re.sub(r"^[^A-Za-z]+|[^A-Za-z0-9]", "", reason)
    return word[:_LONGEST_REASON] or "Unknown"


def _conditions(situation: Situation) -> Iterator[Condition]:
    known = {condition.type: condition for condition in situation.before.conditions}
    now = Timestamp.at(datetime.fromtimestamp(situation.now, UTC))
    for kind, decide in _ALL:
        yield settled(kind, decide(situation), known.get(kind), situation.generation, now)


def _component(state: ComponentState | None, good: str) -> Verdict:
    if state is None:
        return Verdict("Unknown", "NotObserved", "not looked at yet")
    if state.ready:
        return Verdict("True", good)
    return Verdict("False", state.reason or "NotReady", state.message)


def _part(situation: Situation, name: PartName) -> Verdict:
    part: Part | None = situation.parts.get(name)
    if part is None or part.ready is None:
        return Verdict("Unknown", part.reason if part else "NotObserved", part.message if part else "not looked at yet")
    return Verdict("True" if part.ready else "False", part.reason, part.message)
