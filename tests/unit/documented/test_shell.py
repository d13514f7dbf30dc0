"""Commands are typed as the register has them, and none is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from documented import shell as module
from documented.shell import Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr(module, "RUN_BY", {"test": ("echo NAMESPACE", "false", "while echo again; do sleep 0.05; done")})
    return Shell("test", tmp_path, {"X": "1"})


def test_a_command_is_typed_with_what_is_swapped_and_what_follows(shell: Shell) -> None:
    assert shell.run("echo NAMESPACE", {"NAMESPACE": "search"}, then='echo "$X"') == "search\n1\n"


def test_a_command_that_fails_or_is_not_in_the_register_is_an_error(shell: Shell) -> None:
    with pytest.raises(AssertionError, match="false"):
        shell.run("false")
    with pytest.raises(AssertionError, match="not among the commands"):
        shell.run("true")
    with pytest.raises(AssertionError, match="'here' is not in"):
        shell.run("echo NAMESPACE", {"here": "there"})


def test_a_command_that_was_forgotten_is_an_error(shell: Shell) -> None:
    shell.run("echo NAMESPACE")
    with pytest.raises(AssertionError, match="false"):
        shell.finish()


def test_a_watch_is_read_while_it_goes_on_and_ends_with_the_block(shell: Shell) -> None:
    with shell.watching("while echo again; do sleep 0.05; done") as watch:
        while "again\nagain\n" not in watch.text:
            watch.arrived.wait(5)
            watch.arrived.clear()


def test_a_watch_that_ends_by_itself_is_an_error(shell: Shell) -> None:
    with pytest.raises(AssertionError, match="ended by itself"), shell.watching("false") as watch:
        watch.ended.wait(60)
