"""Files that others read while they are written, and locks between processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.certificates import Authority
from cluster.kubeconfig import write_kubeconfig
from cluster.paths import PACKAGE, cache_dir, exclusive, scratch_directory, state_dir, write_if_changed

HOLD = "from cluster.paths import *; from pathlib import Path\nwith exclusive(Path({!r})): print('held', flush=True); input()"


def test_an_unchanged_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    assert write_if_changed(path, "text")
    before = path.stat()
    assert not write_if_changed(path, "text")
    assert path.stat().st_ino == before.st_ino
    assert write_if_changed(path, "other")
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_kubeconfig_with_a_key_in_it_is_its_owners_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    path = tmp_path / "kubeconfig"
    client = authority.issue("alice", user="alice")
    write_kubeconfig(path, server="https://127.0.0.1:1", authority=authority.cert, client=client)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_is_released_by_the_death_of_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(str(lock))],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    with exclusive(lock):
        pass


def test_work_in_progress_of_a_killed_process_is_removed_and_a_living_ones_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_CACHE", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    (tmp_path / "scratch" / f"{gone.pid}-half" / "made").mkdir(parents=True)
    with scratch_directory() as first, scratch_directory() as second:
        assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == sorted([first.name, second.name])
    assert list((tmp_path / "scratch").iterdir()) == []


def test_cache_and_state_lie_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RAG_CACHE", "XDG_CACHE_HOME", "RAG_STATE"):
        monkeypatch.delenv(variable, raising=False)
    assert cache_dir() == Path.home() / ".cache/rag-operator"
    assert state_dir("rag") == Path("/run/rag-cluster")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_dir() == Path("/xdg/rag-operator")
    monkeypatch.setenv("RAG_CACHE", "/chosen")
    monkeypatch.setenv("RAG_STATE", "/state")
    assert cache_dir() == Path("/chosen")
    assert state_dir("rag") == Path("/state/rag-cluster")
