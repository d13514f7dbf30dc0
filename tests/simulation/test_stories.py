"""Every story, told without disturbance, reads as its golden log says. `UPDATE_GOLDEN=1` writes the logs anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from simulation.run import Run
from simulation.stories import STORIES

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", STORIES)
def test_the_story_reads_as_its_golden_log_says(name: str) -> None:
    told = "\n".join(Run().tell(STORIES[name]).world.lines) + "\n"
    golden = GOLDEN / f"{name}.log"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8"), f"the story changed; read it, then run with UPDATE_GOLDEN=1: {golden.name}"


def test_every_golden_log_belongs_to_a_story() -> None:
    assert {path.stem for path in GOLDEN.glob("*.log")} == set(STORIES)
