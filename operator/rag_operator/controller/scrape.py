"""What the gateways' own pods report: epochs in use, and counts per revision. Bounded in time and size; never another address."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from rag_operator.kube.child import Child
from rag_operator.model.observed import GatewayPod
from rag_runtime.contracts import metrics, pods

_LIMIT: Final = 2 * 1024 * 1024
_BEFORE_THE_FIRST: Final = -1.0  # the epoch of a gateway that has no table yet
_LARGEST: Final = 2.0**53  # up to here a float counts exactly
_SAMPLE: Final = re.compile(r"^(rag_gateway_[a-z_]+)(?:\{([^}]*)\})? (\S+)$")
_LABEL: Final = re.compile(r'([a-z_]+)="([^"]*)"')

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]


# Reads the metrics of one pod by its address; `None` when it could not be asked.
Scraper = Callable[[str], Awaitable[Samples | None]]


@dataclass(frozen=True)
class GatewayReading:
    """All pods of a gateway, and the samples of those that answered, by pod."""

    pods: tuple[GatewayPod, ...] = ()
    samples: Mapping[str, Samples] = field(default_factory=dict)


class HttpScraper:
    """Asks pods over HTTP. Use it as an asynchronous context manager."""

    def __init__(self, timeout: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HttpScraper:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(self, address: str) -> Samples | None:
        """The samples, or `None` when the pod could not be asked."""
        if self._session is None:
            raise RuntimeError("the scraper is not open: use it as a context manager")
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._session.get(f"http://{host}:{pods.METRICS_PORT}/metrics", allow_redirects=False) as response:
                if response.status != 200:
                    return None
                page = await _page(response)
        except (aiohttp.ClientError, OSError):
            return None
        return _understood(page) if page is not None else None


async def _page(response: aiohttp.ClientResponse) -> bytes | None:
    """What was answered, to its end; `None` when it is too long: half a page would be wrong numbers."""
    found = bytearray()
    async for part in response.content.iter_any():
        found += part
        if len(found) > _LIMIT:
            return None
    return bytes(found)


def _understood(page: bytes) -> Samples | None:
    """The samples; `None` when one is no number of a gateway: any pod may carry the gateway's label, and say what it likes."""
    try:
        return parse(page.decode(errors="replace"))
    except ValueError:
        return None


async def unreachable(_: str) -> Samples | None:
    """The scraper of an operator that runs where pods cannot be reached."""
    return None


async def read(gateway_pods: Iterable[Child], scrape: Scraper) -> GatewayReading:
    """Ask every pod at once."""
    children = sorted(gateway_pods, key=lambda pod: pod.name)
    answers = await asyncio.gather(*(_ask(child, scrape) for child in children))
    found = [_pod(child, answer) for child, answer in zip(children, answers, strict=True)]
    return GatewayReading(tuple(found), {child.name: answer for child, answer in zip(children, answers, strict=True) if answer})


def parse(text: str) -> Samples:
    """The samples of the gateway's own metrics in the Prometheus text format. Raises `ValueError` for a number that no gateway gives."""
    found: Samples = {}
    for line in text.splitlines():
        matched = _SAMPLE.match(line)
        if matched:
            name, labels, value = matched.groups()
            known = tuple(sorted(_LABEL.findall(labels or "")))
            found[name, known] = _number(value)
            _check_limit(dict(known).get("le"))
    return found


def _number(text: str) -> float:
    value = float(text)
    if not _BEFORE_THE_FIRST <= value <= _LARGEST:
        raise ValueError(f"{text} is neither a count nor an epoch")
    return value


def _check_limit(text: str | None) -> None:
    if text is not None and math.isnan(float(text)):
        raise ValueError("a bucket needs a limit")


async def _ask(pod: Child, scrape: Scraper) -> Samples | None:
    address = pod.status().get("podIP")
    return await scrape(address) if address else None


def _pod(child: Child, samples: Samples | None) -> GatewayPod:
    ready = any(found["type"] == "Ready" and found["status"] == "True" for found in child.status().get("conditions") or ())
    return GatewayPod(
        name=child.name,
        ready=ready,
        terminating=child.deleting,
        reachable=samples is not None,
        epoch_served=_epoch(samples, metrics.GATEWAY_EPOCH_SERVED),
        epoch_oldest=_epoch(samples, metrics.GATEWAY_EPOCH_OLDEST),
    )


def _epoch(samples: Samples | None, name: str) -> int | None:
    value = (samples or {}).get((name, ()))
    return int(value) if value is not None else None
