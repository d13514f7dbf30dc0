"""Leadership by a Lease: at most one replica writes.

A leader renews every `retry`. Any failure is a failed renewal. When none succeeded for `renew_deadline`, it may not write any more (`check`
raises) and stops. Others wait `duration` since they last saw the Lease change, by their own clocks, so clocks need not agree. A write
takes at most `duration - renew_deadline`, so the last write of a leader ends before another one's first.

Time is the boot clock: it goes on while the process or the machine is paused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rag_operator import errors
from rag_operator.kube.client import Client
from rag_operator.kube.resources import LEASES

log = logging.getLogger(__name__)
Clock = Callable[[], float]


def boot_clock() -> float:
    """Seconds since boot, pauses of the process and suspension of the machine included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Timing:
    """Seconds: how long a Lease holds, how long a leader may go without renewing, how often it tries."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


class Lease:
    """This replica's claim on one Lease object. `client` must have an open fence and a write time limit below the renew deadline."""

    def __init__(self, client: Client, place: tuple[str, str], identity: str, timing: Timing, clock: Clock = boot_clock) -> None:
        self._client, (self._namespace, self._name) = client, place
        self._identity, self._timing, self._clock = identity, timing, clock
        self._deadline = float("-inf")
        self._seen: tuple[str, float] = ("", 0.0)  # the Lease's resource version, and when we first saw it

    @property
    def leading(self) -> bool:
        """Whether this replica may write now."""
        return self._clock() < self._deadline

    def check(self) -> None:
        """The fence: raises `LeadershipLost` when this replica may not write."""
        if not self.leading:
            raise errors.LeadershipLost(f"the lease {self._namespace}/{self._name} is not ours any more; nothing was sent")

    async def acquire(self) -> None:
        """Wait until this replica leads."""
        while not await self._try():  # noqa: ASYNC110 - what is waited for happens on the server
            await asyncio.sleep(self._timing.retry)
        log.info("leading", extra={"identity": self._identity})

    async def hold(self) -> None:
        """Renew until that fails for too long, or somebody else took over; then raise `LeadershipLost`."""
        while True:
            await asyncio.sleep(self._timing.retry)
            mine = await self._try()
            if mine is False or not self.leading:
                self._deadline = float("-inf")
                raise errors.LeadershipLost(f"the lease {self._namespace}/{self._name} could not be renewed in time")

    async def release(self) -> None:
        """Let another replica lead at once. Nothing may be written after this."""
        if not self.leading:
            return
        self._deadline = float("-inf")
        try:
            found = await self._client.get(LEASES, self._namespace, self._name)
            if found and found["spec"].get("holderIdentity") == self._identity:
                found["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._client.replace(found)
        except errors.ApiError as error:
            log.info("the lease runs out by itself: %s", error)

    async def _try(self) -> bool | None:
        """Take or renew. `False`: somebody else's; `None`: we could not tell."""
        began = self._clock()
        # Half of what a renewal may take, so that there is a second try; never longer than the lead lasts.
        limit = self._timing.renew_deadline / 2
        try:
            async with asyncio.timeout(min(limit, self._deadline - began) if self.leading else limit):
                mine = await self._claim()
        except (errors.ApiError, TimeoutError) as error:
            log.warning("failed to renew or take the lease: %s", error or "time-out")
            return None
        if mine:
            self._deadline = began + self._timing.renew_deadline
        return mine

    async def _claim(self) -> bool:
        found = await self._client.get(LEASES, self._namespace, self._name)
        if found is None:
            await self._client.create(self._manifest({}, transitions=0))
            return True
        if not self._free(found):
            return False
        spec = found.get("spec") or {}
        changed = spec.get("holderIdentity") != self._identity
        transitions = int(spec.get("leaseTransitions") or 0) + int(changed)
        await self._client.replace(self._manifest(found, transitions=transitions, acquired=None if changed else spec.get("acquireTime")))
        return True

    def _free(self, found: dict[str, Any]) -> bool:
        """Whether the Lease is ours, nobody's, or unchanged for as long as it holds."""
        version = found["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity")
        held = float(spec.get("leaseDurationSeconds") or self._timing.duration)
        return not holder or holder == self._identity or self._clock() - self._seen[1] > held

    def _manifest(self, found: dict[str, Any], *, transitions: int, acquired: str | None = None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata = {"name": self._name, "namespace": self._namespace}
        if found:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": max(1, round(self._timing.duration)),
                "acquireTime": acquired or now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
