"""Running other programs: one way to call them, one error that says what to do."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

TIMED_OUT = 124  # as timeout(1) says it


class ClusterError(Exception):
    """The root of everything this package raises.

    ClusterError
    ├── CommandError     a program ended with an error
    └── ComponentError   a component died or did not become ready (processes.py)
    """


class CommandError(ClusterError):
    """A program ended with an error; the message holds the end of its output."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        self.code, self.output = code, output
        super().__init__(f"failed to run `{' '.join(command)}` (exit status {code}):\n{last_lines(output)}")


def last_lines(text: str, count: int = 20) -> str:
    """The end of a log: what one wants to see first when something failed."""
    return "\n".join(text.rstrip().splitlines()[-count:])


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 600,
) -> str:
    """Run to the end and return standard output; both streams go into the error."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=cwd, env=env, input=stdin, text=True, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        output = (error.output or b"").decode(errors="replace")
        raise CommandError(words, TIMED_OUT, f"{output}\nnot finished after {timeout:.0f} s") from error
    if done.returncode != 0:
        raise CommandError(words, done.returncode, done.stdout + done.stderr)
    return done.stdout


def succeeds(command: Sequence[str | Path], timeout: float = 30) -> bool:
    """Whether the program ends with status 0 within `timeout` seconds."""
    try:
        run(command, timeout=timeout)
    except CommandError:
        return False
    return True
