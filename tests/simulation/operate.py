"""The operator of the simulation: observes, plans and writes, one write at a time, and can die between any two of them.

It carries out a `Plan` in the order that the planner asks for: a changed position is recorded first; then records, children, routing
table, evaluation, collection, records that go, and status. Every write that could harm carries the version it was decided by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model import codec
from rag_operator.model.observed import ComponentState, GatewayPod, Observed
from rag_operator.model.plan import Collect, Keep, Plan, Record, TableIntent
from rag_operator.model.revision import Revision
from rag_operator.rollout.planner import plan
from simulation.parts import Part
from simulation.specs import revision
from simulation.world import World

Planner = Callable[[RAGPipelineSpec, Revision | None, Observed, Record, float], Plan]


@dataclass(frozen=True)
class Write:
    """One request to the API server. `send` raises `ConflictError` when what it was decided by has changed."""

    what: str
    send: Callable[[], None]


class ConflictError(Exception):
    """The object is not what it was when the write was decided."""


@dataclass(frozen=True)
class Pass:
    """What one pass saw and means to do."""

    observed: Observed
    record: Record
    plan: Plan
    writes: tuple[Write, ...]
    suspended: bool


def observe(world: World, record: Record) -> Observed:
    """Return what the operator sees."""
    rollout = record.rollout
    analysis = None
    if rollout is not None and rollout.weight and record.stable:
        analysis = world.traffic(rollout.weight_since, record.stable, rollout.candidate)
    asked = (record.stable or "", rollout.candidate, rollout.evaluation_attempt) if rollout else ("", "", 0)
    return Observed(
        components={name: _state(part) for name, part in world.parts.items()},
        pairs=dict(_pairs(world)),
        revisions=dict(world.revisions),
        table=world.table,
        gateways=tuple(_pods(world)),
        evaluation=world.evaluations.get(asked),
        analysis=analysis,
        verbs=world.verbs,
        adopted_indexes=world.adopted,
    )


def _state(part: Part) -> ComponentState:
    return ComponentState(
        part.component.kind,
        part.name,
        exists=True,
        ready=part.ready,
        ready_replicas=part.pods,
        desired_replicas=part.wanted_pods,
        failed=part.failed,
        message=part.message,
        progress=part.progress + part.pods,
        built=part.built,
        caught_up=part.caught_up,
        stopped=part.stopped,
        collecting=part.collecting,
        dropped=part.dropped,
        cold=part.cold,
        woken=part.woken and part.work == "Sync",
    )


def _pairs(world: World) -> Iterator[tuple[str, ComponentState]]:
    """The index of each revision whose embedder did not fill it."""
    for found in world.revisions.values():
        part, embedder = world.parts.get(found.index.name), found.embedder.name
        if part is None or embedder == part.made_by:
            continue
        if world.names[found.name] in world.foreign and embedder in part.compared:
            message = "the embedder's vectors differ from those in the index"
            yield found.name, replace(_state(part), ready=False, failed=True, reason="FingerprintMismatch", message=message)
        elif embedder in part.compared:
            yield found.name, _state(part)
        else:
            yield found.name, replace(_state(part), ready=False, message="the embedder was not yet compared with the index")


def _pods(world: World) -> Iterator[GatewayPod]:
    for gateway in world.gateways:
        seen = None if gateway.deaf else gateway.served
        oldest = None if gateway.deaf else gateway.oldest
        yield GatewayPod(gateway.name, not gateway.terminating, gateway.terminating, not gateway.deaf, seen, oldest)


def begin(world: World, planner: Planner = plan) -> Pass:
    """Observe and plan; nothing is written yet."""
    record = world.stored()
    observed = observe(world, record)
    wanted = None if world.reference_missing else revision(world.letter, record.reindex)
    planned = planner(world.spec, wanted, observed, record, world.now + world.skew)
    return Pass(observed, record, planned, tuple(_writes(world, observed, record, planned)), world.spec.suspend)


def _writes(world: World, observed: Observed, record: Record, planned: Plan) -> Iterator[Write]:
    status = _status(world, planned) if planned.record != record else None
    acts = planned.table or planned.evaluation or planned.collect
    if status and not acts:
        yield status
    for keep in planned.keep:
        yield from _stand(world, keep)
    yield from _temperatures(world, planned.keep)
    yield from _sizes(world, planned.keep)
    if planned.table is not None:
        yield _table(world, observed, record, planned.table)
    if planned.evaluation is not None:
        asked = (planned.evaluation.stable, planned.evaluation.candidate, planned.evaluation.attempt)
        if asked not in world.evaluations:
            yield Write("evaluate", lambda: world.evaluate(*asked))
    for collect in planned.collect:
        yield from _collect(world, collect)
    for name in planned.forget:
        yield Write(f"forget {name}", lambda name=name: _forget(world, name))  # type: ignore[misc]
    if status and acts:
        yield status


def _status(world: World, planned: Plan) -> Write:
    version, stored = world.status_version, codec.dump(planned.record)

    def send() -> None:
        _unchanged(world.status_version == version)
        world.status, world.status_version = stored, version + 1
        for note in planned.notes:
            world.say(f"{note.reason}: {note.message}")

    return Write("status", send)


def _stand(world: World, keep: Keep) -> Iterator[Write]:
    found = world.revisions.get(keep.revision)
    if found is None:
        wanted = revision(world.letter, world.stored().reindex)
        if wanted.name != keep.revision:
            return  # nobody knows what it is made of
        found = replace(wanted, collection=_collection(world, wanted))
        yield Write(f"record {found.name}", lambda: world.record(found))
    for component in found.components():
        part = world.parts.get(component.name)
        if part is None:
            yield Write(f"create {component.name}", lambda c=component: _create(world, c, found.collection))  # type: ignore[misc]
        elif part.component.kind == "index" and part.work == "Stop" and not part.collecting:
            yield Write(f"resume {part.name}", lambda p=part: world.resume(p) if not p.collecting else None)  # type: ignore[misc]


def _temperatures(world: World, keeps: tuple[Keep, ...]) -> Iterator[Write]:
    # An index that revisions share is cold when it is cold for all of them.
    asked: dict[str, bool] = {}
    for keep in keeps:
        found = world.revisions.get(keep.revision)
        if found is not None:
            asked[found.index.name] = asked.get(found.index.name, True) and keep.idle and keep.role == "retired"
    for name, cold in asked.items():
        part = world.parts.get(name)
        if part is not None and part.built and cold != part.cold and not part.collecting:
            yield Write(f"{'cool' if cold else 'warm'} {name}", lambda p=part, v=part.version, c=cold: _temper(world, p, v, c))  # type: ignore[misc]


def _temper(world: World, part: Part, version: int, cold: bool) -> None:
    _unchanged(world.exists(part) and part.version == version)
    world.say(f"{part.name}: " + ("cold" if cold else "is loaded again"))
    world.temper(part, cold=cold)


def _collection(world: World, wanted: Revision) -> str:
    standing = world.parts.get(wanted.index.name)
    if standing is not None:
        return standing.collection  # shared, or adopted
    shared = next((r.collection for r in world.revisions.values() if r.index.name == wanted.index.name), "")
    return shared or f"rag_{wanted.index.digest[:10]}_{len(world.lines):08}"


def _create(world: World, component: Any, collection: str) -> None:
    if component.name not in world.parts:
        world.create(component, collection)


def _sizes(world: World, keeps: tuple[Keep, ...]) -> Iterator[Write]:
    # A component that revisions share is as large as the one that needs most of it.
    floors: dict[str, int | None] = {}
    for keep in keeps:
        for component in world.revisions[keep.revision].components() if keep.revision in world.revisions else ():
            if component.kind != "index":
                floor, known = keep.floors.get(component.name, 0), floors.get(component.name)
                floors[component.name] = known if keep.idle else max(floor, known or 0)
    for name, wanted in floors.items():
        part = world.parts.get(name)
        if part is not None and wanted is None and part.wanted_pods:
            yield Write(f"idle {name}", lambda p=part: _resize(world, p, 0, 0))  # type: ignore[misc]
        elif part is not None and wanted is not None and (part.floor != wanted or not part.wanted_pods):
            yield Write(f"size {name}", lambda p=part, v=part.floors_set, f=wanted: _size(world, p, v, f))  # type: ignore[misc]


def _size(world: World, part: Part, seen: int, floor: int) -> None:
    _unchanged(part.floors_set == seen)
    _resize(world, part, floor, max(1, floor, part.wanted_pods))


def _resize(world: World, part: Part, floor: int, pods: int) -> None:
    part.floor, part.wanted_pods = floor, pods
    part.floors_set += 1
    part.version += 1
    world.say(f"{part.name}: " + (f"at least {max(1, floor)} pods" if pods else "idle"))
    world.scale(part)
    world.autoscale()


def _table(world: World, observed: Observed, record: Record, intent: TableIntent) -> Write:
    seen = observed.table.epoch if observed.table else None
    epoch = _epoch(observed, record)

    def send() -> None:
        _unchanged((world.table.epoch if world.table else None) == seen)
        world.say(f"table {epoch}: {intent.why}")
        world.publish(dict(intent.weights), intent.salt, epoch)

    return Write(f"table {epoch}", send)


def _epoch(observed: Observed, record: Record) -> int:
    epochs = [epoch for pod in observed.gateways if (epoch := pod.epoch_served) is not None]
    return max([record.epoch, observed.table.epoch if observed.table else 0, *epochs]) + 1


def _collect(world: World, collect: Collect) -> Iterator[Write]:
    part = world.parts.get(collect.component)
    done = part is not None and {"StopWriters": part.work == "Stop", "Drop": part.work == "Drop"}.get(collect.step, False)
    if part is not None and not done:
        version = part.version
        yield Write(f"{collect.step} {part.name}", lambda: _take(world, part, version, collect.step))


def _take(world: World, part: Part, version: int, step: str) -> None:
    _unchanged(world.exists(part) and part.version == version)
    world.say(f"{step} {part.name}")
    if step == "StopWriters":
        world.stop(part)
    elif step == "MarkCollecting":
        part.collecting = True
        world.touch(part)
    elif step == "Drop":
        part.work = "Drop"
        world.drop(part)
        world.touch(part)
    else:
        del world.parts[part.name]
        world.wake()


def _forget(world: World, name: str) -> None:
    world.revisions.pop(name, None)
    world.wake()


def _unchanged(same: bool) -> None:
    if not same:
        raise ConflictError
