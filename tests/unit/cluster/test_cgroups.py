"""Cgroups of version 1 and 2, on directories that look like them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import cgroups


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "_TOP", tmp_path)
    return tmp_path


@pytest.fixture
def version_1(top: Path) -> Path:
    for controller in ("cpuset", "memory"):
        (top / controller).mkdir()
        (top / controller / "cgroup.procs").touch()
    return top


def test_a_root_is_made_in_every_hierarchy_of_version_1(version_1: Path) -> None:
    assert cgroups.ensure("other") == "other"
    assert (version_1 / "cpuset/other").is_dir()
    assert (version_1 / "memory/other").is_dir()


def test_a_root_is_made_once_in_version_2_with_its_controllers_on(top: Path) -> None:
    (top / "cgroup.controllers").touch()
    (top / "cgroup.subtree_control").touch()
    cgroups.ensure("other")
    assert (top / "other").is_dir()
    assert (top / "cgroup.subtree_control").read_text().startswith("+")


def test_groups_of_our_pods_are_found_deepest_first_and_others_are_not(version_1: Path) -> None:
    ours = version_1 / "memory/kubepods/burstable/podours"
    (ours / "container").mkdir(parents=True)
    (version_1 / "memory/kubepods/burstable/podtheirs/container").mkdir(parents=True)
    assert cgroups.of_pods(["ours"]) == [ours / "container", ours]


def test_members_of_a_group_that_is_gone_are_nobody(version_1: Path) -> None:
    group = version_1 / "memory/kubepods"
    group.mkdir()
    (group / "cgroup.procs").write_text("12\n13\n")
    assert cgroups.members([group, version_1 / "gone"]) == [12, 13]


def test_the_kubelets_groups_stay_while_pods_of_another_are_in_them(version_1: Path) -> None:
    theirs = version_1 / "memory/kubepods/burstable/podtheirs"
    theirs.mkdir(parents=True)
    (version_1 / "memory/kubepods/besteffort").mkdir()
    cgroups.remove([], "")
    assert theirs.exists()
    assert not (version_1 / "memory/kubepods/besteffort").exists()
    theirs.rmdir()
    cgroups.remove([], "")
    assert not (version_1 / "memory/kubepods").exists()
