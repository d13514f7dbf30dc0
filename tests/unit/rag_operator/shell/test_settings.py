"""Settings from the environment: lists, and times that would make leadership unsafe."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rag_operator.__main__ import main
from rag_operator.settings import Settings


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_OPERATOR_NAMESPACES", "a, b")
    assert Settings().namespaces == ("a", "b")


def test_the_defaults_are_the_designs() -> None:
    found = Settings()
    assert (found.lease_duration, found.renew_deadline, found.retry_period) == (15, 10, 2)


@pytest.mark.parametrize("changes", [{"write_timeout": 6.0}, {"renew_deadline": 12.0}, {"retry_period": 10.0}])
def test_times_by_which_two_leaders_could_write_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Settings(**changes)  # type: ignore[arg-type]


def test_a_wrong_setting_is_named_and_nothing_starts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RAG_OPERATOR_WORKERS", "0")
    assert main(["run"]) == 2
    assert "workers" in capsys.readouterr().err
