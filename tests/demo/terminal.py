"""What the demo prints: headings, the commands it runs so that they can be typed again, and their real output."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console

from polling import until

Result = TypeVar("Result")
# So that a demo that is killed leaves no watch behind.
_DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
QUIET_LINES = 24  # of a long output, this many lines are shown


class CommandError(RuntimeError):
    """A command of the story ended badly; the message carries its output."""


@dataclass
class Terminal:
    """Prints and runs. `environment` is added to the process's own for every command."""

    environment: Mapping[str, str] = field(default_factory=dict)
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))

    def heading(self, number: int, title: str) -> None:
        """Begin a chapter."""
        self.console.print(f"\n[bold cyan]{number}. {title}[/]")

    def say(self, text: str) -> None:
        """A sentence of the story."""
        self.console.print(f"   [dim]{text}[/]")

    def result(self, text: str) -> None:
        """Something that was measured or found."""
        self.console.print(f"   [green]✓[/] {text}")

    def run(self, command: str, *, stdin: str | None = None, show: bool = True, timeout: float = 300) -> str:
        """Print `command`, run it with bash, print its output, return it. Raises `CommandError` when it fails."""
        if show:
            self.console.print(f"   [bold]$ {command}[/]", markup=True)
        done = subprocess.run(
            ["bash", "-c", command],
            input=stdin,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if show:
            self.output(done.stdout)
        if done.returncode:
            raise CommandError(f"{command}\nended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def output(self, text: str) -> None:
        """Show a command's output, indented and cut in the middle when it is long."""
        lines = text.rstrip().splitlines()
        if len(lines) > QUIET_LINES:
            left_out = len(lines) - QUIET_LINES
            lines = [*lines[: QUIET_LINES // 2], f"... {left_out} lines ...", *lines[-QUIET_LINES // 2 :]]
        for line in lines:
            self.console.print(f"     {line}", markup=False)

    @contextmanager
    def watching(self, command: Sequence[str]) -> Iterator[None]:
        """Show what `command` (a `kubectl get -w`, say) prints while the block runs; a line that differs in its age alone is left out."""
        self.console.print(f"   [bold]$ {shlex.join(command)}[/]")
        watcher = subprocess.Popen(
            [*_DIES_WITH_US, *command],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        shown = threading.Thread(target=self._show_news, args=(watcher.stdout,), daemon=True)
        shown.start()
        try:
            yield
        finally:
            watcher.terminate()
            watcher.wait()
            shown.join()

    def _show_news(self, lines: Iterable[str]) -> None:
        last: list[str] = []
        for line in lines:
            if line.split()[:-1] != last:  # the last column is the age
                last = line.split()[:-1]
                self.console.print(f"     {line.rstrip()}", markup=False, highlight=False)


def wait_for(what: str, probe: Callable[[], Result | None], timeout: float, every: float = 0.3) -> Result:
    """Ask `probe` until it returns something true. Raises `CommandError` naming `what` after `timeout` seconds."""
    return until(probe, timeout, what, every=every, error=lambda _: CommandError(f"{what}: not within {timeout:.0f} s"))
