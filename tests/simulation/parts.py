"""What stands in the simulated cluster: components and gateway pods."""

from __future__ import annotations

from dataclasses import dataclass, field

from rag_operator.model.revision import Component


@dataclass
class Part:
    """A component that stands in the cluster."""

    component: Component
    uid: int
    version: int = 0
    pods: int = 0  # ready
    wanted_pods: int = 1
    floor: int = 0
    work: str = "Build"  # index
    progress: int = 0
    built: bool = False
    caught_up: bool = False
    stopped: bool = False
    collecting: bool = False
    dropped: bool = False
    failed: bool = False
    collection: str = ""
    message: str = ""
    made_by: str = ""  # index: the embedder that fills it
    compared: set[str] = field(default_factory=set)  # index: further embedders that were measured against it
    failures_left: int = 0
    hurt: bool = False  # by an injected fault, until it heals
    disturbed: bool = False  # by an injected fault, at any time

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def ready(self) -> bool:
        if self.component.kind == "index":
            return self.built and not self.hurt and not self.dropped and not self.stopped
        return self.pods > 0


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
