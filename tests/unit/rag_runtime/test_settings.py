"""Settings and durations."""

from __future__ import annotations

import pytest

from rag_runtime.durations import Duration, parse_duration
from rag_runtime.settings import PodSettings, env, load


class Part(PodSettings):
    wait: Duration = env("RAG_WAIT", 0.005)
    model: str = env("RAG_MODEL")
    api_key: int = env("RAG_API_KEY", 1)


@pytest.mark.parametrize(("text", "seconds"), [("5ms", 0.005), ("90s", 90), ("1h30m", 5400), ("0s", 0), (2.5, 2.5)])
def test_durations_are_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["10 days", "5", "", "-1s", "1s ", "1.5s", "ms"])
def test_what_is_no_duration_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: numbers with ms, s, m or h"):
        parse_duration(text)


def test_settings_come_from_the_environment_and_empty_means_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_MODEL", "/models/minilm")
    monkeypatch.setenv("RAG_WAIT", "20ms")
    monkeypatch.setenv("RAG_GRACE_SECONDS", "")
    part = load(Part)
    assert (part.model, part.wait, part.grace_seconds) == ("/models/minilm", 0.02, 30)


def test_each_wrong_variable_gets_one_line_and_secrets_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAG_MODEL", raising=False)
    monkeypatch.setenv("RAG_WAIT", "soon")
    monkeypatch.setenv("RAG_API_KEY", "hunter2")
    with pytest.raises(SystemExit) as stop:
        load(Part)
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert [line.split("=")[0].split(" ")[0] for line in lines] == ["RAG_WAIT", "RAG_MODEL", "RAG_API_KEY"]
    assert "'soon' is not a duration" in lines[0]
    assert "hunter2" not in "".join(lines)
