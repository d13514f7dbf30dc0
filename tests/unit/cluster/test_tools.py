"""Binaries are kept under a key of what they are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import tools
from cluster.tools import MODULE_LIST, Module, binary


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go module that prints a word, and an empty cache."""
    hello = tmp_path / "modules/hello"
    hello.mkdir(parents=True)
    (hello / "go.mod").write_text("module example.test/hello\n\ngo 1.26\n")
    (hello / "go.sum").touch()
    (hello / "main.go").write_text("package main\n\nvar word string\n\nfunc main() { print(word) }\n")
    monkeypatch.setattr(tools, "MODULES", tmp_path / "modules")
    monkeypatch.setenv("RAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "modules"


def hello(word: str = "first") -> Module:
    return Module("hello", {"hello": "example.test/hello"}, (f"-X main.word={word}",))


def test_a_binary_is_built_once(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_BY_BINARY", {"hello": hello()})
    path = binary("hello")
    built = path.stat().st_mtime_ns
    assert binary("hello").stat().st_mtime_ns == built
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["hello"]


def test_a_changed_version_or_flag_is_another_binary(modules: Path) -> None:
    first = hello().directory()
    assert hello("second").directory() != first
    (modules / "hello/go.sum").write_text("changed\n")
    assert hello().directory() != first


@pytest.mark.parametrize("module", MODULE_LIST, ids=lambda module: module.name)
def test_every_module_is_pinned(module: Module) -> None:
    assert (tools.MODULES / module.name / "go.sum").exists()
    assert "require" in (tools.MODULES / module.name / "go.mod").read_text() or module.name == "pause"
