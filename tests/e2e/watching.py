"""Every status that a pipeline had, one after another, as whoever watches it sees them."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cluster.tools import binary
from e2e.rollouts import NAME, Library

Status = dict[str, Any]


@dataclass
class Watched:
    """The pipeline's objects with the monotonic time at which each was seen."""

    objects: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def statuses(self, since: float = 0.0) -> list[Status]:
        """What was seen after the monotonic time `since`."""
        return [found.get("status") or {} for at, found in list(self.objects) if at >= since]

    def first(self, when: Callable[[Status], bool], since: float) -> float | None:
        """When a status of this kind was first seen after `since`."""
        return next((at for at, found in list(self.objects) if at >= since and when(found.get("status") or {})), None)


@contextmanager
def watched(handbook: Library) -> Iterator[Watched]:
    """Watch the pipeline for as long."""
    cluster, found = handbook.namespace.cluster, Watched()
    command = [str(binary("kubectl")), f"--kubeconfig={cluster.kubeconfig}", "--namespace", handbook.namespace.name]
    command += ["get", "ragpipeline", NAME, "--watch", "--output=json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, found))
        reader.start()
        try:
            yield found
            assert process.poll() is None, "the watch ended early"
        finally:
            process.terminate()
            reader.join()


def _read(lines: Iterator[str], found: Watched) -> None:
    # kubectl prints each object over several lines; only the last of them is a brace in the first column.
    text: list[str] = []
    for line in lines:
        text.append(line)
        if line == "}\n":
            found.objects.append((time.monotonic(), json.loads("".join(text))))
            text.clear()
