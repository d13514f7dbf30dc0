"""A closed-loop HTTP load: `concurrency` connections, each sends its next request when the last one is answered.

It shares the machine's cores with the servers, so it is lean: requests are bytes made beforehand, answers are only cut at their
length while the clock runs and read afterwards.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import orjson
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """What one run measured; seconds."""

    requests: int
    seconds: float
    latencies: tuple[float, ...]  # sorted
    client: float  # processor time of this load generator
    processor: float = 0.0  # the server's processor time

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def processor_per_request(self) -> float:
        """The server's processor seconds a request: what stays comparable when others use the machine too."""
        return self.processor / self.requests

    def percentile(self, share: float) -> float:
        """The latency that `share` of the requests stay within."""
        return self.latencies[min(int(len(self.latencies) * share), len(self.latencies) - 1)]


def request(url: str, model: str, texts: Sequence[str], lane: str = "") -> bytes:
    """The bytes of one embeddings call; the same for every server but for the path and the lane."""
    parts = urlsplit(url)
    body = orjson.dumps({"model": model, "input": list(texts), "encoding_format": "base64"})
    head = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    if lane:
        head.append(f"x-rag-lane: {lane}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Connection:
    """One keep-alive connection."""

    def __init__(self, url: str) -> None:
        self._where = urlsplit(url)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Connection:
        assert self._where.hostname
        assert self._where.port
        self._reader, self._writer = await asyncio.open_connection(self._where.hostname, self._where.port, limit=1 << 24)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, message: bytes) -> bytes:
        """Send one request; the body of its answer. Raises `RuntimeError` on anything but 200."""
        self._writer.write(message)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
        body = await self._reader.readexactly(length)
        if b" 200 " not in lines[0]:
            raise RuntimeError(f"{lines[0]!r}: {body[:200]!r}")
        return body


async def run(url: str, messages: Sequence[bytes], concurrency: int, seconds: float) -> Result:
    """Ask for `seconds`, each connection its own share of `messages` in turn, and wait for what is in flight."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def work(number: int) -> None:
        async with Connection(url) as connection:
            place = number
            while (began := time.perf_counter()) < end:
                await connection.ask(messages[place % len(messages)])
                latencies.append(time.perf_counter() - began)
                place += concurrency

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work(number) for number in range(concurrency)))
    return Result(len(latencies), time.perf_counter() - began, tuple(sorted(latencies)), time.process_time() - used)


async def vectors(url: str, messages: Sequence[bytes]) -> Vectors:
    """The normalised first vector of each message's answer."""
    async with Connection(url) as connection:
        rows = [_vector(orjson.loads(await connection.ask(message))) for message in messages]
    found = np.stack(rows)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def _vector(answer: dict[str, Any]) -> Vectors:
    embedding = answer["data"][0]["embedding"]
    return np.frombuffer(base64.b64decode(embedding), "<f4") if isinstance(embedding, str) else np.array(embedding, np.float32)
