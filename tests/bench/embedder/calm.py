"""How much of the machine others took while something was measured, and measuring again when it was much.

A machine of two cores is seldom alone. What decides about a measurement is what others did meanwhile, never what came out.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Above this share of all cores a measurement is repeated, and the calmest one counts.
CALM = 0.05
ATTEMPTS = 3

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """Processor time that a process used so far, with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _busy_and_total() -> tuple[float, float]:
    user, nice, system, idle, waiting, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS, (user + nice + system + idle + waiting + irq + softirq + steal) / _TICKS


async def calmly(measure: Callable[[], Awaitable[T]], own: Collection[int]) -> tuple[T, float]:
    """What `measure` returned when others took least, and the share of all cores that they took. `own`: the processes that are measured."""
    attempts = []
    while len(attempts) < ATTEMPTS and min((share for _, share in attempts), default=1.0) > CALM:
        busy, total, ours = *_busy_and_total(), _own_seconds(own)
        result = await measure()
        after_busy, after_total = _busy_and_total()
        others = after_busy - busy - (_own_seconds(own) - ours)
        attempts.append((result, max(others, 0.0) / max(after_total - total, 1.0 / _TICKS)))
    return min(attempts, key=lambda attempt: attempt[1])


def _own_seconds(own: Collection[int]) -> float:
    return sum(processor_seconds(pid) for pid in (*own, os.getpid()))
