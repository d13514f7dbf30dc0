"""Before the chart is removed: stop the operator, then let go of every pipeline that waits for it.

`python -m rag_operator.shell.uninstall DEPLOYMENT` scales the operator's own Deployment to 0, takes over its Lease, so that nobody writes
at the same time, and removes our finalizer from pipelines and their indexes. Nothing else is touched: pipelines, what they run and their
data stay as they are. Without it a pipeline with an external store could never be deleted once nobody is left to do it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from rag_operator import errors, names
from rag_operator.kube import access
from rag_operator.kube.client import Client, Object, open_fence
from rag_operator.kube.lease import Lease, Timing
from rag_operator.kube.reach import LEFT_ALONE, is_out_of_reach
from rag_operator.kube.resources import DEPLOYMENTS, INDEXES, PIPELINES, Resource
from rag_operator.settings import Settings
from rag_operator.shell import logs

log = logging.getLogger(__name__)

IDENTITY = "uninstall"


async def uninstall(settings: Settings, deployment: str) -> int:
    """Stop the operator and release all pipelines; returns how many had to be released."""
    async with Client(await access.load(settings.kubeconfig), fence=open_fence, write_timeout=settings.write_timeout) as client:
        await _stop(client, settings.namespace, deployment)
        timing = Timing(settings.lease_duration, settings.renew_deadline, settings.retry_period)
        lease = Lease(client, (settings.namespace, settings.lease_name), IDENTITY, timing)
        await lease.acquire()
        holding = asyncio.create_task(lease.hold())
        try:
            return await _release_all(client, settings.namespaces)
        finally:
            holding.cancel()
            with contextlib.suppress(asyncio.CancelledError, errors.OperatorError):
                await holding
            await lease.release()


async def _stop(client: Client, namespace: str, deployment: str) -> None:
    try:
        await client.patch(DEPLOYMENTS, namespace, deployment, {"spec": {"replicas": 0}})
        log.info("the operator is told to stop", extra={"deployment": deployment})
    except errors.NotFound:
        log.info("there is no operator to stop", extra={"deployment": deployment})


async def _release_all(client: Client, namespaces: tuple[str, ...]) -> int:
    """Pipelines first: an index is let go only when nobody would drop it any more."""
    within = await _within_reach(client, namespaces)
    if namespaces and not within:
        return 0
    pipelines = await _held(client, PIPELINES, within)
    for pipeline in pipelines:
        await _release(client, PIPELINES, pipeline)
    for index in await _held(client, INDEXES, within):
        await _release(client, INDEXES, index)
    return len(pipelines)


async def _within_reach(client: Client, namespaces: tuple[str, ...]) -> tuple[str, ...]:
    """Namespaces in which something can be released. One that is gone took its rights along, and must not keep the chart for ever."""
    lost = [namespace for namespace in namespaces if await is_out_of_reach(client, namespace)]
    for namespace in lost:
        log.warning(LEFT_ALONE, namespace, extra={"namespace": namespace})
    return tuple(namespace for namespace in namespaces if namespace not in lost)


async def _held(client: Client, resource: Resource, namespaces: tuple[str, ...]) -> list[Object]:
    try:
        listed = [item for namespace in namespaces or (None,) for item in await client.list(resource, namespace)]
    except errors.NotFound:
        return []  # the definition is gone, and with it every object
    return [item for item in listed if names.FINALIZER in item["metadata"].get("finalizers", ())]


async def _release(client: Client, resource: Resource, held: Object) -> None:
    meta = held["metadata"]
    kept = [finalizer for finalizer in meta["finalizers"] if finalizer != names.FINALIZER]
    # The version makes the server refuse when somebody else added a finalizer meanwhile: that one must not be lost.
    change = {"metadata": {"finalizers": kept, "resourceVersion": meta["resourceVersion"]}}
    try:
        await client.patch(resource, meta["namespace"], meta["name"], change)
    except errors.NotFound:
        return
    except errors.Conflict:
        again = await client.get(resource, meta["namespace"], meta["name"])
        if again is not None and names.FINALIZER in again["metadata"].get("finalizers", ()):
            await _release(client, resource, again)
        return
    # An index names what nobody will drop any more; when it goes, nothing else does.
    left = {"collection": held["spec"]["collection"]} if resource is INDEXES else {}
    log.info("released", extra={"namespace": meta["namespace"], "kind": resource.kind, "object": meta["name"], **left})


def main() -> int:
    """Run with the operator's own settings."""
    if len(sys.argv) != 2:
        print("usage: python -m rag_operator.shell.uninstall DEPLOYMENT", file=sys.stderr)
        return 2
    settings = Settings()
    logs.configure(settings.log_level)
    released = asyncio.run(uninstall(settings, sys.argv[1]))
    log.info("done: %d pipelines released", released)
    return 0


if __name__ == "__main__":
    sys.exit(main())
