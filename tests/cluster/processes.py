"""Starting, finding, signalling and stopping the cluster's processes.

A process is found by a mark in its environment, not by a pid file: whoever was killed between starting a process and
writing its pid down has leaked nothing, and a recycled pid can never be mistaken for ours.
"""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cluster.commands import ClusterError, last_lines
from polling import until, within

_OWNER, _NAME, _HASH = "RAG_CLUSTER_OWNER", "RAG_CLUSTER_COMPONENT", "RAG_CLUSTER_COMMAND"


class ComponentError(ClusterError):
    """A component died or did not become ready; the message ends with its last log lines."""


@dataclass(frozen=True)
class Component:
    """A program that runs until it is stopped. `ready` answers quickly and never raises."""

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], bool] = lambda: True
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60
    hint: str = ""
    configuration: str = ""  # the text of files it reads: a change of them is a reason to restart

    def fingerprint(self) -> str:
        """Changes when a running process would have to be restarted to match."""
        text = repr((self.command, sorted(self.environment.items()), self.configuration))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Running:
    """A live process of ours."""

    pid: int
    component: str
    fingerprint: str


def running(owner: Path) -> Iterator[Running]:
    """Every live process that was started for the cluster in `owner`, its shims included."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        marks = _marks(entry)
        if marks.get(_OWNER) == str(owner):
            yield Running(int(entry.name), marks.get(_NAME, ""), marks.get(_HASH, ""))


def components(owner: Path) -> Iterator[Running]:
    """The components' own processes. What they started carries the same mark, if only for a moment, but leads no session."""
    for process in running(owner):
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) == process.pid:
                yield process


def find(owner: Path, component: str, program: str | None = None) -> Running | None:
    """The component's own process; with `program`, only if it runs that by now."""
    for process in components(owner):
        if process.component == component and (program is None or program_of(process.pid) == program):
            return process
    return None


def is_there(owner: Path, component: str) -> bool:
    """Whether a process of the component lives. Looks again before it says no: during execve a process has no marks."""
    return bool(within(lambda: any(process.component == component for process in running(owner)), 0.5, every=0.05))


def start(component: Component, owner: Path) -> subprocess.Popen[bytes]:
    """Start a child that dies with the thread that starts it: a test run killed with SIGKILL cannot clean up."""
    return _spawn(component, owner, ["setpriv", "--pdeathsig", "KILL"])


def start_detached(component: Component, owner: Path) -> None:
    """Start a process that outlives us and is nobody's child; from now on `running` finds it."""
    _spawn(component, owner, ["setsid", "--fork"]).wait()


def _spawn(component: Component, owner: Path, wrapper: list[str]) -> subprocess.Popen[bytes]:
    component.log.parent.mkdir(parents=True, exist_ok=True)
    marks = {_OWNER: str(owner), _NAME: component.name, _HASH: component.fingerprint()}
    with component.log.open("ab") as log:
        return subprocess.Popen(
            [*wrapper, *component.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **component.environment, **marks},
            start_new_session=True,
        )


def wait_ready(component: Component, alive: Callable[[], bool]) -> None:
    """Wait until it is ready; fail at once when it has died."""

    def ready() -> bool:
        if component.ready():
            return True
        if not alive():
            raise ComponentError(_report(component, "died while starting"))
        return False

    def late(_: str) -> ComponentError:
        return ComponentError(_report(component, f"was not ready after {component.timeout:.0f} s"))

    until(ready, component.timeout, component.name, every=0.05, error=late)


def wait_until(condition: Callable[[], bool], timeout: float, what: str, interval: float = 0.1) -> None:
    """Poll until `condition` holds; the error says what was waited for."""
    until(condition, timeout, what, every=interval, error=ClusterError)


def stop(pid: int, timeout: float = 5) -> None:
    """Ask a process to end, then make it, and return when it is gone."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, 30.0)):
                signal.pidfd_send_signal(handle, number)
                if select.select([handle], [], [], patience)[0]:
                    return
        finally:
            os.close(handle)


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _marks(entry: Path) -> dict[str, str]:
    try:
        raw = (entry / "environ").read_bytes()
    except (OSError, ProcessLookupError):
        return {}
    pairs = (line.split("=", 1) for line in raw.decode(errors="replace").split("\0") if line.startswith("RAG_CLUSTER_"))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def program_of(pid: int) -> str:
    """The file name of the program a process runs."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0].rpartition("/")[2]
    except OSError:
        return ""


def _report(component: Component, what: str) -> str:
    log = component.log.read_text(errors="replace") if component.log.exists() else ""
    hint = f"\nWhat to do: {component.hint}" if component.hint else ""
    return f"{component.name} {what}; the end of {component.log}:\n{last_lines(log)}{hint}"
