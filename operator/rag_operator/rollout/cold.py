"""The cold window: of what is kept for rollback only the index stays, released from memory. Pure.

promoted → `abortDelay` → route away → every gateway acknowledged → workloads to 0, collection released, deletions only
        → rollback: a `Rollout` with `back` brings everything up, catches up, and gets all the traffic in one write

Nothing is remembered of being cold: it follows from the policy, so another policy takes effect at any time.
"""

from __future__ import annotations

from rag_operator.model.plan import Record
from rag_operator.rollout.situation import Situation


def is_cold(situation: Situation, record: Record) -> bool:
    """Whether the retired revision is to be kept cold now: it has settled, and is on no way back."""
    retired, rollout = record.retired, record.rollout
    if retired is None or situation.policy.rollback.mode != "Cold":
        return False
    if rollout is not None and rollout.candidate == retired.revision:
        return False
    settled = [entry.idle_at for entry in record.leaving if entry.revision == retired.revision]
    return situation.now >= max([retired.idle_at, *settled])
