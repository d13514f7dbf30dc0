from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag_indexer.kube import KubeError
from rag_indexer.reporting import PAUSE_SECONDS, FileSink, Reporter, print_summary


class Sink:
    """Remembers what was applied."""

    def __init__(self) -> None:
        self.applied: list[dict[str, Any]] = []
        self.broken = False

    async def apply(self, index: str, status: dict[str, Any], manager: str) -> None:
        if self.broken:
            raise KubeError("no API server")
        self.applied.append(status)


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_status_is_written_when_it_changed_and_not_too_often() -> None:
    sink, clock = Sink(), Clock()
    reporter = Reporter(sink, "one", "m", clock=clock)
    reporter.set(build={"documents": 1})
    await reporter.changed()
    reporter.set(build={"documents": 2})
    await reporter.changed()
    assert sink.applied == [{"build": {"documents": 1}}]
    assert reporter.pending
    clock.now += PAUSE_SECONDS
    await reporter.changed()
    clock.now += PAUSE_SECONDS
    await reporter.changed()
    assert sink.applied[1:] == [{"build": {"documents": 2}}]
    assert not reporter.pending


async def test_the_last_status_is_always_written() -> None:
    sink = Sink()
    reporter = Reporter(sink, "one", "m", clock=Clock())
    for number in range(3):
        reporter.set(build={"documents": number})
        await reporter.changed()
    await reporter.flush()
    assert sink.applied[-1] == {"build": {"documents": 2}}


async def test_a_write_that_fails_is_made_up_for() -> None:
    sink, clock = Sink(), Clock()
    reporter = Reporter(sink, "one", "m", clock=clock)
    sink.broken = True
    reporter.set(build={"documents": 1})
    await reporter.changed()
    with pytest.raises(KubeError):
        await reporter.flush()
    sink.broken = False
    clock.now += PAUSE_SECONDS
    await reporter.changed()
    assert sink.applied == [{"build": {"documents": 1}}]


async def test_a_file_holds_the_status_of_each_index(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "status.json")
    await sink.apply("one", {"build": {"documents": 1}}, "job")
    await sink.apply("one", {"sync": {"documents": 1}}, "syncer")
    await sink.apply("two", {"build": {}}, "job")
    found = json.loads((tmp_path / "status.json").read_bytes())
    assert found == {"one": {"build": {"documents": 1}, "sync": {"documents": 1}}, "two": {"build": {}}}


def test_a_summary_is_the_termination_message_when_it_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "termination"
    print_summary({"a": 1}, log)
    assert not log.exists(), "outside a pod there is none"
    log.touch()
    print_summary({"a": 1}, log)
    assert log.read_text() == '{"a":1}'
    print_summary({"a": "x" * 5_000}, log)
    assert log.read_text() == '{"a":1}'
    assert [len(line) for line in capsys.readouterr().out.splitlines()] == [7, 7, 5_008]
