"""Waiting for what a test expects, without a fixed sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(what: str, holds: Callable[[], Awaitable[bool]], within: float = 10.0) -> float:
    """Wait until something holds; the seconds it took."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        if await holds():
            return time.monotonic() - began
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {within} s: {what}")
