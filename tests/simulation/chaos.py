"""Faults of chance that heal: gateways that go deaf or are replaced, pods that die, children that somebody deletes."""

from __future__ import annotations

from collections.abc import Callable

from simulation.parts import Gateway
from simulation.world import World

FAULTS = 6
WITHIN = 2.5 * 3600.0  # seconds of the story


def unleash(world: World) -> None:
    """Let faults happen at random times."""
    kinds: tuple[Callable[[World], None], ...] = (_deaf, _replaced, _pods_die, _embedder_deleted, _clock_off)
    for _ in range(FAULTS):
        fault = world.chance.choice(kinds)
        world.at(world.now + world.chance.uniform(60, WITHIN), lambda fault=fault: fault(world))  # type: ignore[misc]


def _deaf(world: World) -> None:
    gateway = world.chance.choice(world.gateways)
    gateway.deaf = True
    world.say(f"fault: {gateway.name} can no longer be reached")
    world.after(100, lambda: world.hear_again(gateway))


def _replaced(world: World) -> None:
    old = world.chance.choice(world.gateways)
    if old.terminating:
        return
    old.terminating = True
    new = Gateway(f"gateway-{len(world.lines)}", served=world.table.epoch if world.table else 0)
    world.gateways.append(new)
    world.say(f"fault: {old.name} terminates, {new.name} takes over")
    world.after(40, lambda: _gone(world, old))
    world.wake()


def _gone(world: World, gateway: Gateway) -> None:
    world.gateways.remove(gateway)
    world.wake()


def _pods_die(world: World) -> None:
    parts = [part for part in world.parts.values() if part.component.kind == "embedder" and part.pods]
    if not parts:
        return
    part = world.chance.choice(parts)
    part.die()
    world.say(f"fault: the pods of {part.name} die")
    world.touch(part)
    world.after(60, lambda: _heal(world, part.name))


def _heal(world: World, name: str) -> None:
    part = world.parts.get(name)
    if part is not None:
        part.hurt = False
        world.scale(part)


def _embedder_deleted(world: World) -> None:
    used = [part.name for part in world.parts.values() if part.component.kind == "embedder"]
    if not used:
        return
    name = world.chance.choice(used)
    world.deleted.add(name)
    del world.parts[name]
    world.say(f"fault: somebody deletes {name}")
    world.wake()


def _clock_off(world: World) -> None:
    world.skew = world.chance.uniform(-7200.0, 7200.0)
    world.say(f"fault: the operator's clock is off by {world.skew:.0f} s")
    world.after(300, lambda: _clock_right(world))
    world.wake()


def _clock_right(world: World) -> None:
    world.skew = 0.0
    world.wake()
