"""Deleting a pipeline. Kubernetes collects the children; only data in an external store, with deletionPolicy Delete, need us.

While our finalizer is held, each index is dropped by a Job of the tenant's own. When that cannot work (the namespace is terminating, the
store does not answer for too long), the data are left behind, and log and metric say so: deleting never hangs for ever.
"""

from __future__ import annotations

import logging
from datetime import datetime

from rag_operator import errors, metrics, names
from rag_operator.controller import assemble, decide
from rag_operator.controller.decide import Decided
from rag_operator.controller.observe import Seen
from rag_operator.controller.writer import Writer
from rag_operator.desired.context import Surroundings

log = logging.getLogger(__name__)

_LOOK_AGAIN = 5.0


async def hold(writer: Writer, seen: Seen, decided: Decided) -> None:
    """Have our finalizer on the pipeline exactly while its deletion would need us."""
    spec = decided.newest.spec
    needed = spec.vector_store.milvus.external is not None and spec.deletion_policy == "Delete"
    present = seen.body["metadata"].get("finalizers") or []
    if needed == (names.FINALIZER in present):
        return
    wanted = [*present, names.FINALIZER] if needed else [one for one in present if one != names.FINALIZER]
    found = await writer.write_pipeline(seen.key, _finalizers(seen, wanted))
    seen.body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]


async def dismantle(writer: Writer, seen: Seen, surroundings: Surroundings, *, now: float, give_up: float) -> float | None:
    """One step of deleting. Returns the seconds until the next, or `None` when nothing is left for us."""
    present = seen.body["metadata"].get("finalizers") or []
    if names.FINALIZER not in present:
        return None
    left = decide.undropped(seen)
    since = datetime.fromisoformat(seen.body["metadata"]["deletionTimestamp"]).timestamp()
    if left and now - since < give_up and await _drop(writer, seen, surroundings, now):
        return _LOOK_AGAIN
    if left:
        metrics.LET_GO.inc()
        where = {"pipeline": seen.key.name, "namespace": seen.key.namespace}
        log.error("collections are left behind", extra={**where, "collections": ", ".join(left)})
    await writer.write_pipeline(seen.key, _finalizers(seen, [one for one in present if one != names.FINALIZER]))
    return None


async def _drop(writer: Writer, seen: Seen, surroundings: Surroundings, now: float) -> bool:
    """Ask for every index to be dropped. `False` when the namespace lets nothing be made any more."""
    manifests = decide.dropping(seen, assemble.records(seen.children), surroundings, now)
    try:
        await writer.bring(manifests, seen.children)
    except errors.Forbidden:
        return False
    return True


def _finalizers(seen: Seen, wanted: list[str]) -> dict[str, object]:
    # With the version, so that a finalizer that somebody added meanwhile is not lost.
    return {"metadata": {"finalizers": wanted, "resourceVersion": seen.body["metadata"]["resourceVersion"]}}
