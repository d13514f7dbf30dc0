"""What stands in the simulated cluster: components and gateway pods."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

from rag_operator.model.revision import Component

LOAD = 4  # replicas of an embedder that all the traffic needs


@dataclass
class Part:
    """A component that stands in the cluster."""

    component: Component
    uid: int
    version: int = 0
    pods: int = 0  # ready
    wanted_pods: int = 1
    floor: int = 0
    floors_set: int = 0  # the version of its autoscaler
    work: str = "Build"  # index
    progress: int = 0
    built: bool = False
    caught_up: bool = False
    stopped: bool = False
    cold: bool = False  # index: it is told to be out of memory, and nobody may ask it
    woken: bool = False  # index: it was cold, and is not any more
    loaded: bool = True  # index
    behind: bool = False  # index: it was cold, and has not caught up since
    collecting: bool = False
    dropped: bool = False
    failed: bool = False
    collection: str = ""
    message: str = ""
    made_by: str = ""  # index: the embedder that fills it
    compared: set[str] = field(default_factory=set)  # index: further embedders that were measured against it
    failures_left: int = 0
    hurt: bool = False  # by an injected fault, until it heals
    lost: int = 0  # pods that an injected fault took and that did not come back yet

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def ready(self) -> bool:
        if self.component.kind == "index":
            return self.built and self.loaded and not self.cold and not self.hurt and not self.dropped and not self.stopped
        return self.pods > 0

    def die(self) -> None:
        """A fault takes every pod; none comes back before it is healed."""
        self.lost = max(self.lost, self.wanted_pods)
        self.pods, self.hurt = 0, True

    def grown(self) -> None:
        """As many pods are ready as were wanted."""
        self.pods = self.wanted_pods
        if self.pods >= self.lost or not self.pods:
            self.lost = 0


@dataclass
class Gateway:
    """A gateway pod."""

    name: str
    served: int = 0
    streams: list[int] = field(default_factory=list)  # epochs of answers still being written
    deaf: bool = False  # hears of no table and cannot be scraped
    terminating: bool = False

    @property
    def oldest(self) -> int:
        return min([self.served, *self.streams])


def pods_for(weight: int) -> int:
    """Return how many replicas of an embedder this share of the traffic needs, in percent."""
    return ceil(LOAD * weight / 100)
