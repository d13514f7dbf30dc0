"""An open loop: requests leave on schedule whether or not earlier ones came back.

They are timed from when they left. The event loop's timers count whole milliseconds, so each leaves up to a millisecond late; `late` is
the 99th percentile of that, and when it is more, the load and not the gateway was measured.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

Once = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Figures:
    """Milliseconds."""

    requests: int
    failed: int
    p50: float
    p90: float
    p99: float
    late: float


class Connections:
    """HTTP/1.1 over kept connections, with as little work per request as possible."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes, until: bytes | None = None) -> None:
        """One request. With `until`, the answer counts as there when these bytes are; the rest is read all the same."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        head = f"POST {self._path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.decode(errors="replace"))
        length = answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if length:
            await reader.readexactly(int(length))
        else:
            await reader.readuntil(until or b"0\r\n\r\n")
            if until is not None:
                self._finish(reader, writer)
                return
        self._idle.append((reader, writer))

    def _finish(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def rest() -> None:
            await reader.readuntil(b"0\r\n\r\n")
            self._idle.append((reader, writer))

        task = asyncio.ensure_future(rest())
        task.add_done_callback(lambda done: done.exception())

    def close(self) -> None:
        """Close what is kept."""
        for _, writer in self._idle:
            writer.close()


async def at_rate(once: Once, rate: float, seconds: float, *, warm: float = 2.0) -> Figures:
    """Call `once(number)` `rate` times a second; the first `warm` seconds do not count."""
    now = time.perf_counter  # uvloop's own clock counts whole milliseconds
    times: list[float] = []
    late: list[float] = []
    failed = 0
    begin = now() + 0.1

    async def timed(number: int, due: float) -> None:
        nonlocal failed
        left = now()
        try:
            await once(number)
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            failed += 1
        if due - begin >= warm:
            times.append(now() - left)
            late.append(left - due)

    running = set()
    for number in range(int(rate * (warm + seconds))):
        due = begin + number / rate
        if (wait := due - now()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.ensure_future(timed(number, due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    p50, p90, p99 = (float(value) * 1000 for value in np.percentile(times, (50, 90, 99)))
    return Figures(len(times), failed, p50, p90, p99, float(np.percentile(late, 99)) * 1000)


def question(number: int) -> bytes:
    """A question that was not asked before, so that no vector is remembered."""
    return json.dumps({"query": f"heat transfer over a flat plate, case {number}"}).encode()


def conversation(number: int) -> bytes:
    """The same as a stream."""
    messages = [{"role": "user", "content": f"heat transfer over a flat plate, case {number}"}]
    return json.dumps({"messages": messages, "stream": True}).encode()
