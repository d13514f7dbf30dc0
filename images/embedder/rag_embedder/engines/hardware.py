"""What the machine offers to this container: processors it may use, and native bfloat16."""

from __future__ import annotations

import math
import os
from pathlib import Path

_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # the last one is Arm's name


def allowed_processors(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """How many threads the container's CPU limit lets run at once; None when it is not limited below the machine.

    Engines count the machine's cores and would start a thread for each: with a limit of 2 on 64 cores they only throttle each other.
    """
    quota = _quota(root)
    usable = len(os.sched_getaffinity(0))
    return max(1, math.ceil(quota)) if quota is not None and quota < usable else None


def _quota(root: Path) -> float | None:
    unified, legacy = root / "cpu.max", root / "cpu"
    try:
        if unified.exists():
            limit, period = unified.read_text().split()
        else:
            limit, period = ((legacy / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except (OSError, ValueError):
        return None
    return None if limit in ("max", "-1") else int(limit) / int(period)


def has_native_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether matrix products in bfloat16 are instructions of this processor and not emulated."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return not _BFLOAT16_FLAGS.isdisjoint(flags)
