"""Every command that the pages show is run by a test, is a target of make that somebody runs, or is said not to be run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from documented import register
from documented.pages import NOT_RUN, ROOT, Command, commands, pages, unmarked
from documented.register import RUN_BY
from documented.shell import Shell

WHAT_TO_DO = f"""
{{}}
Run it in a test and enter it in tests/documented/register.py; or, when it cannot run here, say "{NOT_RUN}" and why beside it on the page;
or, when it is a target of make, say in CONTRIBUTING.md who runs it."""
SHOWN = [one for page, text in pages().items() for one in commands(page, text)]
RUN = {command for several in RUN_BY.values() for command in several}


def targets(text: str) -> list[str]:
    """The targets of a `make` command, none for another one."""
    name, *rest = text.split()
    return [word for word in rest if not word.startswith("-")] if name == "make" else []


def who_runs() -> set[str]:
    """The targets that CONTRIBUTING's table names."""
    rows = [line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("|")]
    return {target for row in rows for span in re.findall(r"`(make [^`]+)`", row) for target in targets(span)}


def only_named(one: Command) -> bool:
    """Whether a sentence names a program and its verb, or the beginning of a command that is run, rather than showing a command."""
    words = one.text.removesuffix(" <command>").split()
    return not one.block and (len(words) <= 2 or any(words == command.split()[: len(words)] for command in plain(RUN)))


def plain(several: set[str]) -> set[str]:
    """Commands without the settings before them."""
    return {re.sub(r"^(?:[A-Z_]+=\S*\s+)+", "", command) for command in several}


@pytest.mark.parametrize("one", SHOWN, ids=str)
def test_a_command_that_is_shown_is_run_or_said_not_to_be(one: Command) -> None:
    by_somebody = bool(targets(one.text)) and set(targets(one.text)) <= who_runs()
    assert one.text in RUN or by_somebody or one.said_not_run or only_named(one), WHAT_TO_DO.format(one)


@pytest.mark.parametrize("page", pages())
def test_fences_of_commands_say_that_they_are(page: str) -> None:
    assert unmarked(pages()[page]) == []


@pytest.mark.parametrize("test", RUN_BY)
def test_what_a_test_runs_is_shown_on_a_page(test: str) -> None:
    assert (ROOT / test).exists()
    assert set(RUN_BY[test]) - {one.text for one in SHOWN} == set()


@pytest.mark.parametrize("target", sorted({target for one in SHOWN for target in targets(one.text)} | who_runs()))
def test_a_target_of_make_that_is_shown_exists(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_commands_that_explain_themselves_do(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    state = {"RAG_STATE": str(tmp_path), "CLUSTER": "local"}  # a place without a cluster
    shell = Shell(register.HELP, ROOT, {"PATH": path, "PYTHONPATH": "operator:images/common:tests", **state})
    explained = shell.run("make help")
    assert all(f"  {target} " in explained for target in who_runs() - {"help"})
    assert "--gateway-scrape" in shell.run("python -m rag_operator run --help")
    assert str(tmp_path) in shell.run('eval "$(make -s cluster-env)"', then='echo "$KUBECONFIG"')
    assert "not running" in shell.run("make cluster-status")
    shell.finish()
