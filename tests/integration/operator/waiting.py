"""Waiting for what a test expects, without a fixed sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(what: str, holds: Callable[[], Awaitable[bool]], within: float = 60.0) -> float:
    """Wait until something holds; the seconds it took."""
    began = time.monotonic()
    while True:
        late = time.monotonic() - began > within  # asked first: whoever stood still meanwhile looks once more
        if await holds():
            return time.monotonic() - began
        if late:
            raise AssertionError(f"not within {within} s: {what}")
        await asyncio.sleep(0.05)
