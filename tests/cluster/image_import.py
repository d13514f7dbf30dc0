"""Moving built images into containerd, only the layers that it lacks.

buildah keeps images as files, containerd as content; between them lies an OCI layout in the cache. Pushing to it skips the
layers it holds, and the archive that containerd imports leaves out what containerd has. Our images share their base, so a
changed one usually moves a few megabytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from cluster.buildah import buildah
from cluster.node import Node
from cluster.paths import cache_dir, exclusive, scratch_directory

_REFERENCE_NAME = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"
Json = dict[str, Any]


def import_image(node: Node, reference: str, slot: str) -> None:
    """Import buildah's image `reference` under the same name; `slot` is its place in the layout, reused by its successor."""
    layout = cache_dir() / "layout"
    with exclusive(cache_dir() / ".layout.lock"), scratch_directory() as directory:
        buildah("push", "--quiet", "--disable-compression", "--format", "oci", reference, f"oci:{layout}:{slot}")
        archive = directory / "image.tar"
        present = set(node.ctr("content", "ls", "-q").split())
        _write_archive(archive, layout, _manifest(layout, slot), reference, present)
        node.ctr("images", "import", archive)
        _collect(layout)


def _manifest(layout: Path, slot: str) -> Json:
    """The descriptor of the image in `slot`."""
    return next(item for item in _named_manifests(layout) if item["annotations"][_REFERENCE_NAME] == slot)


def _named_manifests(layout: Path) -> list[Json]:
    """The layout's images; one whose slot was taken by a successor has lost its name."""
    found: list[Json] = json.loads((layout / "index.json").read_text())["manifests"]
    return [descriptor for descriptor in found if _REFERENCE_NAME in descriptor.get("annotations", {})]


def _write_archive(archive: Path, layout: Path, descriptor: Json, reference: str, present: set[str]) -> None:
    named = {**descriptor, "annotations": {_CONTAINERD_NAME: reference}}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(tar, "index.json", {"schemaVersion": 2, "manifests": [named]})
        for digest in _blobs(layout, descriptor):
            if digest not in present:
                path = _blob_path(layout, digest)
                tar.add(path, str(path.relative_to(layout)))


def _add(tar: tarfile.TarFile, name: str, content: Json) -> None:
    data = json.dumps(content).encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _blobs(layout: Path, descriptor: Json) -> list[str]:
    """Digests of the manifest, its configuration and its layers."""
    manifest = json.loads(_blob_path(layout, descriptor["digest"]).read_text())
    return [descriptor["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]


def _collect(layout: Path) -> None:
    """Delete blobs that no image of the layout uses any more."""
    named = _named_manifests(layout)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": named}))
    used = {digest for descriptor in named for digest in _blobs(layout, descriptor)}
    for blob in (layout / "blobs" / "sha256").iterdir():
        if f"sha256:{blob.name}" not in used:
            blob.unlink()


def _blob_path(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")
