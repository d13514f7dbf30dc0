"""What the machine offers, read from files as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rag_embedder.engines import hardware


@pytest.fixture(autouse=True)
def _sixteen_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.mark.parametrize(
    ("text", "threads"), [("200000 100000", 2), ("150000 100000", 2), ("20000 100000", 1), ("max 100000", None), ("1600000 100000", None)]
)
def test_a_limit_of_cgroup_v2_bounds_the_threads(tmp_path: Path, text: str, threads: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert hardware.allowed_processors(tmp_path) == threads


@pytest.mark.parametrize(("quota", "threads"), [("400000", 4), ("-1", None)])
def test_a_limit_of_cgroup_v1_bounds_the_threads(tmp_path: Path, quota: str, threads: int | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert hardware.allowed_processors(tmp_path) == threads


def test_without_cgroups_nothing_is_bounded(tmp_path: Path) -> None:
    assert hardware.allowed_processors(tmp_path) is None


@pytest.mark.parametrize(
    ("line", "native"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sse2", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx512f sse2", False),
        ("", False),
    ],
)
def test_bfloat16_counts_only_when_it_is_an_instruction(tmp_path: Path, line: str, native: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert hardware.has_native_bfloat16(tmp_path / "cpuinfo") is native
