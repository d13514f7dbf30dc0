"""Finding a model's directory. The hub is a function here: no test goes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rag_embedder.errors import ModelError
from rag_embedder.model import source

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


class Hub:
    def __init__(self, home: Path, error: Exception | None = None) -> None:
        self.home, self.error = home, error
        self.asked: list[tuple[str, str, tuple[str, ...]]] = []

    def __call__(self, repository: str, commit: str, patterns: Sequence[str]) -> Path:
        self.asked.append((repository, commit, tuple(patterns)))
        if self.error:
            raise self.error
        return self.home


def test_a_directory_needs_no_hub(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    assert source.find(str(tmp_path), "", hub, lambda _: True) == tmp_path
    assert hub.asked == []


def test_a_hub_id_is_fetched_at_its_commit_configuration_first(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    assert source.find("org/model", COMMIT, hub, lambda _: True) == tmp_path
    assert [asked[:2] for asked in hub.asked] == [("org/model", COMMIT)] * 2
    assert not any("safetensors" in pattern for pattern in hub.asked[0][2])
    assert "*.safetensors" in hub.asked[1][2]


@pytest.mark.parametrize("own_graph", [True, False])
def test_pickles_and_code_are_never_fetched(tmp_path: Path, own_graph: bool) -> None:
    hub = Hub(tmp_path)
    source.find("org/model", COMMIT, hub, lambda _: own_graph)
    patterns = {pattern for asked in hub.asked for pattern in asked[2]}
    assert not any(pattern.endswith((".py", ".pt", ".pkl")) or pattern in ("*", "*.bin") for pattern in patterns)


@pytest.mark.parametrize("own_graph", [True, False])
def test_graphs_are_fetched_only_for_architectures_we_have_no_graph_for(tmp_path: Path, own_graph: bool) -> None:
    hub = Hub(tmp_path)
    source.find("org/model", COMMIT, hub, lambda _: own_graph)
    assert ("openvino/openvino_model.xml" in hub.asked[1][2]) == (not own_graph)
    assert "*.safetensors" in hub.asked[1][2]  # the identity of the weights either way


@pytest.mark.parametrize("revision", ["", "main", "v1.0", COMMIT[:39], COMMIT.upper()])
def test_a_hub_id_without_its_full_commit_is_refused(tmp_path: Path, revision: str) -> None:
    with pytest.raises(ModelError, match="needs its full commit, 40 hex digits"):
        source.find("org/model", revision, Hub(tmp_path), lambda _: True)


@pytest.mark.parametrize("model", ["a/b/c", "https://example.com/m", "org/mo del", "-x"])
def test_what_is_neither_directory_nor_hub_id_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(ModelError, match="neither an absolute directory nor a hub id"):
        source.find(model, COMMIT, Hub(tmp_path), lambda _: True)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a directory"):
        source.find(str(tmp_path / "none"), "", Hub(tmp_path), lambda _: True)


def test_a_failed_download_says_what_and_why(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"failed to download org/model at {COMMIT}: OSError: no route"):
        source.find("org/model", COMMIT, Hub(tmp_path, OSError("no route")), lambda _: True)
