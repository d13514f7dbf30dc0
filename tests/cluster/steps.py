"""What the user sees: one line per step with how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_writing = Lock()


def say(line: str) -> None:
    """Print one whole line at once, so that parallel steps do not mix."""
    with _writing:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a step and say how long it took; a failing step says so before the error leaves."""
    started = time.monotonic()
    say(f"   {name} ...")
    try:
        yield
    except BaseException:
        say(f"!! {name}: failed after {time.monotonic() - started:.1f} s")
        raise
    say(f"ok {name}: {time.monotonic() - started:.1f} s")
