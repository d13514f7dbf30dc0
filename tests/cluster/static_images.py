"""Images that hold one static Go binary and nothing else, written without a container tool."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
import tempfile
from pathlib import Path

from cluster.node import Node
from cluster.steps import step
from cluster.tools import binary

NAMES = ("pause", "coredns", "prometheus", "prometheus-adapter")
_NOBODY = "65534:65534"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def reference(name: str) -> str:
    """The image's name; its tag is the binary's key, so another version is another image."""
    return f"ragops.dev/{name}:{binary(name).parent.name.rpartition('-')[2]}"


def import_missing(node: Node) -> None:
    """Put the images that containerd does not have into it."""
    present = set(node.ctr("images", "ls", "-q").split())
    for name in NAMES:
        if reference(name) not in present:
            with step(f"import image {name}"), tempfile.TemporaryDirectory() as temporary:
                archive = Path(temporary) / "image.tar"
                write_archive(archive, binary(name), reference(name))
                node.ctr("images", "import", archive)


def write_archive(archive: Path, program: Path, name: str) -> None:
    """A `docker save` archive of one layer with `program` at its root as the entry point."""
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    configuration = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "User": _NOBODY},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {"layer.tar": layer, "config.json": configuration, "manifest.json": json.dumps(manifest).encode()}
    archive.write_bytes(_tar(files, mode=0o644))


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
