"""Which cluster and namespace a command speaks to: the ones that kubectl would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag_operator.cli.connect import Place, connect
from rag_operator.kube import access


def kubeconfig(file: Path, current: str | None, **contexts: str) -> Path:
    """A file that knows a cluster for each context, whose name is that of the context, and its namespace."""
    found: dict[str, Any] = {
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example"}} for name in contexts],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": "me", "namespace": namespace}} for name, namespace in contexts.items()
        ],
    }
    file.write_text(yaml.safe_dump({**found, **({"current-context": current} if current else {})}))
    return file


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found = [kubeconfig(tmp_path / "one", "a", a="team-a"), kubeconfig(tmp_path / "two", "b", b="team-b")]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, found)))
    return found


async def met(**place: str) -> tuple[str, str]:
    async with connect(Place(**place)) as session:
        return session.client._access.server, session.namespace


async def test_of_several_files_the_first_says_the_context(files: list[Path]) -> None:
    assert await met() == ("https://a.example", "team-a")


async def test_a_context_of_any_of_the_files_has_its_own_namespace(files: list[Path]) -> None:
    assert await met(context="b") == ("https://b.example", "team-b")
    kubeconfig(files[0], "b", a="team-a")
    kubeconfig(files[1], None, b="team-b")
    assert await met() == ("https://b.example", "team-b")


async def test_within_a_pod_the_file_that_is_named_wins_over_the_pod_s_own_account(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_in_pod", lambda: True)
    assert await met() == ("https://a.example", "team-a")
