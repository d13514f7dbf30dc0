"""Processes are found by their mark, reported with their last words and stopped for certain."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cluster import processes
from cluster.commands import ClusterError
from cluster.processes import Component, ComponentError

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


def python(tmp_path: Path, code: str) -> Component:
    log = tmp_path / "log"
    return Component("thing", (sys.executable, "-c", code), log, ready=lambda: "deaf" in log.read_text(), timeout=20)


def test_a_detached_process_is_found_by_its_mark_and_nobody_elses_is(tmp_path: Path) -> None:
    component = python(tmp_path, STUBBORN)
    processes.start_detached(component, tmp_path)
    processes.wait_ready(component, alive=lambda: processes.is_there(tmp_path, "thing"))
    found = processes.find(tmp_path, "thing")
    assert found
    assert found.fingerprint == component.fingerprint()
    assert processes.find(tmp_path / "other", "thing") is None
    processes.stop(found.pid, timeout=0.1)
    assert not processes.is_there(tmp_path, "thing")


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    component = python(tmp_path, STUBBORN)
    process = processes.start(component, tmp_path)
    processes.wait_ready(component, alive=lambda: process.poll() is None)
    processes.stop(process.pid, timeout=0.1)
    assert process.wait() == -signal.SIGKILL


def test_one_that_dies_while_starting_is_reported_with_its_last_words_and_what_to_do(tmp_path: Path) -> None:
    component = replace(python(tmp_path, "raise SystemExit('no such disk')"), hint="buy a disk")
    process = processes.start(component, tmp_path)
    with pytest.raises(ComponentError, match=r"(?s)thing died while starting.*no such disk.*What to do: buy a disk"):
        processes.wait_ready(component, alive=lambda: process.poll() is None)


def test_one_that_never_gets_ready_is_reported_with_how_long_it_had(tmp_path: Path) -> None:
    component = replace(python(tmp_path, STUBBORN), ready=lambda: False, timeout=0.1)
    process = processes.start(component, tmp_path)
    with pytest.raises(ComponentError, match="was not ready after 0 s"):
        processes.wait_ready(component, alive=lambda: process.poll() is None)
    process.kill()
    process.wait()


def test_stopping_what_is_gone_is_fine(tmp_path: Path) -> None:
    process = processes.start(python(tmp_path, "pass"), tmp_path)
    process.wait()
    processes.stop(process.pid)
    assert not processes.alive(process.pid)


def test_a_changed_command_environment_or_file_is_a_reason_to_restart(tmp_path: Path) -> None:
    component = python(tmp_path, "pass")
    variants = [
        replace(component, command=("other",)),
        replace(component, environment={"A": "b"}),
        replace(component, configuration="new text"),
    ]
    assert len({each.fingerprint() for each in (component, *variants)}) == 4
    assert replace(component, timeout=1).fingerprint() == component.fingerprint()


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(ClusterError, match="in vain for the end of days"):
        processes.wait_until(lambda: False, 0, "the end of days")
