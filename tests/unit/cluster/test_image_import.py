"""Only what containerd lacks goes into the archive; what no image uses leaves the layout."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from cluster import image_import
from cluster.node import Node


class Containerd:
    """Remembers what it was asked to import."""

    def __init__(self, present: list[str]) -> None:
        self.present = present
        self.names: list[str] = []
        self.index: dict[str, object] = {}

    def ctr(self, *arguments: str | Path) -> str:
        if arguments[:2] == ("content", "ls"):
            return "\n".join(self.present)
        with tarfile.open(arguments[2]) as archive:
            self.names = archive.getnames()
            content = archive.extractfile("index.json")
            assert content
            self.index = json.load(content)
        return ""


class Layout:
    """Writes what buildah would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "blobs/sha256").mkdir(parents=True)
        (directory / "index.json").write_text('{"manifests": []}')

    def blob(self, content: str) -> str:
        name = hashlib.sha256(content.encode()).hexdigest()
        (self.directory / "blobs/sha256" / name).write_text(content)
        return f"sha256:{name}"

    def push(self, slot: str, *layers: str) -> list[str]:
        digests = [self.blob(layer) for layer in layers]
        configuration = self.blob(f"configuration {layers}")
        manifest = self.blob(json.dumps({"config": {"digest": configuration}, "layers": [{"digest": digest} for digest in digests]}))
        index = json.loads((self.directory / "index.json").read_text())
        for other in index["manifests"]:  # as buildah does, a successor takes the name away
            if other.get("annotations", {}).get("org.opencontainers.image.ref.name") == slot:
                del other["annotations"]
        index["manifests"].append({"digest": manifest, "annotations": {"org.opencontainers.image.ref.name": slot}})
        (self.directory / "index.json").write_text(json.dumps(index))
        return digests


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("RAG_CACHE", str(tmp_path))
    return Layout(tmp_path / "layout")


def import_layers(layout: Layout, monkeypatch: pytest.MonkeyPatch, containerd: Containerd, slot: str, *layers: str) -> list[str]:
    digests: list[str] = []
    monkeypatch.setattr(image_import, "buildah", lambda *_: digests.extend(layout.push(slot, *layers)))
    node: Node = containerd  # type: ignore[assignment]
    image_import.import_image(node, f"ragops.dev/{slot}:h-1", slot)
    return digests


def test_layers_that_containerd_has_stay_out_of_the_archive(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    containerd = Containerd([layout.blob("base")])
    base, own = import_layers(layout, monkeypatch, containerd, "thing", "base", "own")
    assert f"blobs/{own.replace(':', '/')}" in containerd.names
    assert f"blobs/{base.replace(':', '/')}" not in containerd.names
    [manifest] = containerd.index["manifests"]  # type: ignore[misc]
    assert manifest["annotations"] == {"io.containerd.image.name": "ragops.dev/thing:h-1"}


def test_a_successor_drops_the_layers_that_only_its_predecessor_used(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    import_layers(layout, monkeypatch, Containerd([]), "other", "base", "other")
    import_layers(layout, monkeypatch, Containerd([]), "thing", "base", "old")
    import_layers(layout, monkeypatch, Containerd([]), "thing", "base", "new")
    kept = {path.read_text() for path in (layout.directory / "blobs/sha256").iterdir()}
    assert {"base", "other", "new"} <= kept
    assert "old" not in kept
