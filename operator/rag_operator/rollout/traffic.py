"""The routing table that a position asks for, and what gateways say about the one they have. Pure.

Weight goes only to a revision whose parts are ready now. Nothing is moved from a revision that answers to one that cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rag_operator.model.observed import GatewayPod, Observed
from rag_operator.model.plan import Note, Record, TableIntent
from rag_operator.rollout.canary import WHOLE
from rag_operator.rollout.cold import is_cold
from rag_operator.rollout.replicas import floors, lacking
from rag_operator.rollout.situation import Situation


def intent(situation: Situation, record: Record) -> TableIntent | None:
    """Return the table to write, or `None` when the stored one says what it should, or nothing better can be said now."""
    table = situation.observed.table
    wanted = weights(situation, record)
    if not wanted or (table is not None and dict(table.weights) == wanted):
        return None
    present = table.weights if table else {}
    if _worsens(situation, present, wanted):
        return None
    return TableIntent(wanted, salt(record, table.salt if table else ""), _why(present, wanted))


def told(situation: Situation, record: Record, table: TableIntent) -> Iterator[Note]:
    """Yield what people hear of a table that says something else although the position is the same."""
    present = situation.observed.table.weights if situation.observed.table else {}
    rollout, retired = record.rollout, record.retired
    if rollout is not None and (given := table.weights.get(rollout.candidate, 0)) < min(rollout.weight, present.get(rollout.candidate, 0)):
        yield Note(
            "WeightWithdrawn",
            f"revision {rollout.candidate}: to {given} % until it is ready: {situation.unready(rollout.candidate)}",
            warning=True,
        )
    if retired is not None and retired.revision in present and retired.revision not in table.weights and is_cold(situation, record):
        yield Note(
            "RollbackWindowCold", f"revision {retired.revision}: its pods go and its index leaves memory; going back brings them up first"
        )


def weights(situation: Situation, record: Record) -> dict[str, int]:
    """Return the weights of a position, by revision. A revision with 0 can be reached by preview. Empty: nothing serves yet."""
    if record.stable is None:
        return {}
    given = candidate_weight(situation, record)
    wanted = {record.stable: WHOLE - given}
    if record.rollout is not None and (given or _listed(situation, record.rollout.candidate)):
        wanted[record.rollout.candidate] = given
    retired = record.retired.revision if record.retired is not None and not is_cold(situation, record) else None
    if retired is not None and retired not in wanted and _listed(situation, retired):
        wanted[retired] = 0
    return wanted


def candidate_weight(situation: Situation, record: Record) -> int:
    """Return what the candidate gets now: nothing while one of its parts is not ready, and no more while it is too small for more."""
    rollout, table = record.rollout, situation.observed.table
    if rollout is None or not situation.serves(rollout.candidate):
        return 0
    # It was large enough when the weight was decided. Whoever decided may have died before anybody was told to keep that size.
    given = table.weights.get(rollout.candidate, 0) if table is not None else 0
    small = rollout.weight > given and lacking(situation, floors(situation, rollout, record.stable, rollout.weight)) is not None
    return given if small else rollout.weight


def salt(record: Record, present: str) -> str:
    """Return the salt that decides, with a session key, who sees the candidate: the same for one rollout, whoever writes it."""
    rollout = record.rollout
    return f"{record.stable}-{rollout.candidate}" if rollout is not None else present


def unacknowledged(observed: Observed) -> tuple[str, ...]:
    """Return the gateways that take requests and are not known to answer by the stored table."""
    if not observed.gateways_known:
        return ("gateways that could not be listed",)
    epoch = observed.table.epoch if observed.table else 0
    serving = (pod for pod in observed.gateways if pod.ready and not pod.terminating)
    return tuple(pod.name for pod in serving if not _knows(pod.epoch_served, pod, epoch))


def holding(observed: Observed) -> tuple[str, ...]:
    """Return the gateways, terminating ones too, that may still answer by a table before the stored one, each with the reason."""
    if not observed.gateways_known:
        return ("the list of gateways could not be read",)
    return tuple(_holding(observed))


def _holding(observed: Observed) -> Iterator[str]:
    table = observed.table
    for pod in observed.gateways:
        if not pod.reachable or pod.epoch_oldest is None:
            yield f"gateway {pod.name} cannot be reached"
        elif table is None and pod.epoch_oldest > 0:
            yield f"gateway {pod.name} answers by epoch {pod.epoch_oldest}, and the routing table is missing"
        elif table is not None and pod.epoch_oldest < table.epoch:
            yield f"gateway {pod.name} still uses epoch {pod.epoch_oldest} of {table.epoch}"


def _knows(epoch: int | None, pod: GatewayPod, needed: int) -> bool:
    return pod.reachable and epoch is not None and epoch >= needed


def _listed(situation: Situation, name: str) -> bool:
    # A revision enters the table when it is whole and leaves it with its index: a restarting pod does not make an epoch.
    if situation.serves(name):
        return True
    table, index = situation.observed.table, situation.index(name)
    if table is None or index is None or name not in table.weights:
        return False
    return index.exists and index.ready and not index.collecting


def _worsens(situation: Situation, present: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    raised = [name for name, weight in wanted.items() if weight > present.get(name, 0)]
    lowered = [name for name, weight in present.items() if weight > wanted.get(name, 0)]
    if all(situation.serves(name) for name in raised):
        return False
    return not lowered or any(situation.serves(name) for name in lowered)


def _why(present: Mapping[str, int], wanted: Mapping[str, int]) -> str:
    names = dict.fromkeys((*present, *wanted))
    moved = (f"{name} {present.get(name, '-')} → {wanted.get(name, '-')}" for name in names if present.get(name) != wanted.get(name))
    return ", ".join(moved)
