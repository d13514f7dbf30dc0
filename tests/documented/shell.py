"""Types the commands of the pages into bash, as they stand there but for the words that a test has to swap. I/O."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from documented.register import RUN_BY

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# What `make` leaves in the environment would speak to a `make` that is typed.
_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")


@dataclass
class Watch:
    """A command that goes on. `text` is what it printed so far, without colours."""

    pieces: list[bytes] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)  # something was printed
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def text(self) -> str:
        """Everything printed so far."""
        return _ESCAPES.sub("", b"".join(self.pieces).decode(errors="replace")).replace("\r\n", "\n")


@dataclass
class Shell:
    """Runs the commands that the register gives to one test."""

    test: str
    directory: Path
    environment: Mapping[str, str]
    typed: set[str] = field(default_factory=set)

    def run(self, command: str, swapped: Mapping[str, str] | None = None, then: str = "", timeout: float = 120) -> str:
        """Run a command, with `then` in the same shell after it, and return what it printed. It must succeed."""
        line = self.line(command, swapped) + (f" && {then}" if then else "")
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.directory,
            env=self.whole_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
        print(f"$ {line}\n{done.stdout}")
        return done.stdout

    @contextmanager
    def watching(self, command: str) -> Iterator[Watch]:
        """Run a command at a terminal until the block ends; then interrupt it, as a reader would."""
        watch = Watch()
        controller, terminal = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", self.line(command)],
            cwd=self.directory,
            env=self.whole_environment() | {"TERM": "xterm", "COLUMNS": "200", "LINES": "50"},
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        reader = threading.Thread(target=_read, args=(controller, watch))
        reader.start()
        try:
            yield watch
            assert not watch.ended.is_set(), f"$ {command}\nended by itself:\n{watch.text}"
        finally:
            _interrupt(process)
            reader.join()
            os.close(controller)
        print(f"$ {command}\n{watch.text[-2000:]}")

    def line(self, command: str, swapped: Mapping[str, str] | None = None) -> str:
        """What is typed for a command of the register; it counts as run."""
        assert command in RUN_BY[self.test], f"{command!r} is not among the commands of {self.test} in tests/documented/register.py"
        self.typed.add(command)
        for word, other in (swapped or {}).items():
            assert word in command, f"{word!r} is not in {command!r}"
            command = command.replace(word, other)
        return command

    def finish(self) -> None:
        """Every command that the register gives to this test was run."""
        forgotten = [command for command in RUN_BY[self.test] if command not in self.typed]
        assert not forgotten, f"{self.test} did not run {forgotten}"

    def whole_environment(self) -> dict[str, str]:
        """What a command finds in its environment."""
        kept = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
        return {**kept, **self.environment}


def _read(terminal: int, watch: Watch) -> None:
    with suppress(OSError):  # the other end is closed: the command has ended
        while piece := os.read(terminal, 1 << 16):
            watch.pieces.append(piece)
            watch.arrived.set()
    watch.ended.set()


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
