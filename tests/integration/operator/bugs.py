"""Deliberate bugs, one at a time, put into an operator that is about to start: a harness is worth what it catches."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any


def owner_missing() -> None:
    """Services are made without their owner: nobody would clean them up."""
    from rag_operator.desired import meta

    sound = meta.metadata

    def broken(owner: Any, name: str, kind: str, *rest: Any, **more: Any) -> Any:
        return sound(owner, name, kind, *rest, **{**more, "owned": kind != "gateway" and more.get("owned", True)})

    for module in ("meta", "gateway", "workloads"):
        _replace(f"rag_operator.desired.{module}", "metadata", broken)


def done_by_status() -> None:
    """The status is written first, and a generation that it knows is taken for done: a crash in between is never repaired."""
    from rag_operator.controller.reconcile import Reconciler

    sound = Reconciler._carry_out

    async def broken(self: Any, seen: Any, decided: Any, surroundings: Any, now: float) -> Any:
        if seen.status.observed_generation == seen.generation:
            return None
        status = {"observedGeneration": seen.generation, "phase": "Pending"}
        meta = {"name": seen.key.name, "namespace": seen.key.namespace}
        manifest = {"apiVersion": "ragops.dev/v1alpha1", "kind": "RAGPipeline", "metadata": meta, "status": status}
        from rag_operator.kube.resources import PIPELINES

        written = await self._tools.writer.write_status(PIPELINES, manifest)
        seen.body["metadata"]["resourceVersion"] = written["metadata"]["resourceVersion"]
        return await sound(self, seen, decided, surroundings, now)

    Reconciler._carry_out = broken  # type: ignore[method-assign]


def random_names() -> None:
    """A Job has another name at every pass."""
    import secrets

    from rag_operator.desired import jobs

    sound = jobs.work_job_name

    def broken(index: str, work: Any) -> str | None:
        name = sound(index, work)
        return f"{name}-{secrets.token_hex(2)}" if name else None

    _replace("rag_operator.desired.jobs", "work_job_name", broken)


def conflict_swallowed() -> None:
    """A conflict counts as done."""
    from rag_operator import errors
    from rag_operator.controller.writer import Writer

    sound = Writer.bring_one

    async def broken(self: Any, manifest: Any, children: Any) -> None:
        try:
            await sound(self, manifest, children)
        except errors.Conflict:
            self._mirror.put(*_pretended(manifest))

    Writer.bring_one = broken  # type: ignore[method-assign]


def drop_before_route_away() -> None:
    """What was promoted over is taken away before the routing table says so."""
    from rag_operator.controller import execute

    sound = execute._record

    async def broken(writer: Any, seen: Any, decided: Any) -> None:
        await sound(writer, seen, decided)
        retired = decided.plan.record.retired
        revision = decided.revisions.get(retired.revision) if retired is not None else None
        if revision is not None:
            await writer.remove(seen.children, seen.uid, "a bug", lambda child: execute._belongs(child, revision.embedder.name))

    execute._record = broken


def prune_takes_strangers() -> None:
    """Pruning goes by label and does not ask who controls an object."""
    from rag_operator.controller.writer import Writer

    sound = Writer.prune

    async def broken(self: Any, manifests: Any, children: Any, uid: str) -> None:
        from dataclasses import replace

        await sound(self, manifests, {key: replace(child, owner=uid) for key, child in children.items()}, uid)

    Writer.prune = broken  # type: ignore[method-assign]


def fields_never_removed() -> None:
    """A merge patch instead of an apply: what the intent no longer has stays."""
    from rag_operator.kube import client, resources

    sound = client.Client.apply

    async def broken(self: Any, manifest: Any, **more: Any) -> Any:
        meta = manifest["metadata"]
        resource = resources.of(manifest)
        if more.get("subresource") or await self.get(resource, meta["namespace"], meta["name"]) is None:
            return await sound(self, manifest, **more)
        change = {"metadata": {"annotations": meta.get("annotations", {})}, "spec": manifest.get("spec", {})}
        return await self.patch(resource, meta["namespace"], meta["name"], change)

    client.Client.apply = broken  # type: ignore[method-assign]


def finalizer_too_early() -> None:
    """The finalizer goes before the external data do."""
    _replace("rag_operator.controller.deletion", "undropped", lambda _: {})


def restless_status() -> None:
    """The status says something new at every pass."""
    from rag_operator.controller import report
    from rag_operator.status import summarize

    count = itertools.count()
    sound = summarize.summarize

    def broken(situation: Any) -> Any:
        return sound(situation).model_copy(update={"message": f"look number {next(count)}"})

    report.summarize = broken  # type: ignore[attr-defined]
    from rag_operator.controller.loop import Loop

    settle = Loop._settle

    def impatient(self: Any, key: Any, outcome: Any) -> None:
        from dataclasses import replace

        settle(self, key, replace(outcome, again_after=min(outcome.again_after or 0.5, 0.5)) if outcome.exists else outcome)

    Loop._settle = impatient  # type: ignore[method-assign]


def record_after_children() -> None:
    """Children come before the record by which they could be made again."""
    from rag_operator.controller import execute

    sound = execute._record
    waiting: list[Any] = []

    async def later(writer: Any, seen: Any, decided: Any) -> None:
        waiting.append((writer, seen, decided))

    route = execute._route

    async def broken(writer: Any, seen: Any, decided: Any) -> None:
        while waiting:
            await sound(*waiting.pop())
        await route(writer, seen, decided)

    execute._record, execute._route = later, broken


ALL: tuple[Callable[[], None], ...] = (
    owner_missing,
    done_by_status,
    random_names,
    conflict_swallowed,
    drop_before_route_away,
    prune_takes_strangers,
    fields_never_removed,
    finalizer_too_early,
    restless_status,
    record_after_children,
)


def plant(name: str) -> None:
    """Put a bug into this process."""
    next(bug for bug in ALL if bug.__name__ == name)()


def _replace(module: str, name: str, new: Any) -> None:
    import importlib

    setattr(importlib.import_module(module), name, new)


def _pretended(manifest: Any) -> tuple[Any, Any]:
    """The manifest as if the server had taken it."""
    from rag_operator.kube import apply, resources

    stamped = apply.stamped(manifest)
    every = {f"f:{key}": {} for key in stamped if key not in ("apiVersion", "kind")}
    entry = {"manager": "rag-operator", "operation": "Apply", "fieldsV1": every}
    meta = {**stamped["metadata"], "uid": manifest["metadata"]["name"], "resourceVersion": "1", "managedFields": [entry]}
    return resources.of(manifest), {**stamped, "metadata": meta}
