"""Building every Dockerfile of the repository and putting the images where the kubelet finds them.

The build context is the repository's root. An image's content hash covers its Dockerfile, every file that COPY and bind
mounts name, and the base image; an unchanged hash costs no build and no import. Images are called `ragops.dev/<directory>`,
tagged with their version (label `org.opencontainers.image.version`, else 0.1) and with `h-<content hash>`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cluster import base_image
from cluster.buildah import buildah, package_index
from cluster.commands import ClusterError, CommandError
from cluster.image_import import import_image
from cluster.node import Node
from cluster.paths import REPOSITORY, cache_dir, exclusive
from cluster.steps import say, step

PREFIX = "ragops.dev"
_DOCKERFILES = ("operator/rag_operator/Dockerfile", "images/*/Dockerfile", "tests/cluster/images/*/Dockerfile")
_NAMES = {"operator/rag_operator": "operator"}
_VERSION = re.compile(r'org\.opencontainers\.image\.version="?([^"\s]+)')
_PYTHON_BASE = re.compile(r"^ARG BASE=(?:docker\.io/library/)?python:3\.13", re.MULTILINE)
_COPY = re.compile(r"^(?:COPY|ADD)\s+(.+)$", re.MULTILINE)
_BIND = re.compile(r"--mount=type=bind,(?:\S*,)?source=([^,\s]+)")
_ROOM_FOR_LAYERS = 10 * 1024**3  # bytes; with less free, layers of intermediate images are not kept for later builds
_IGNORED = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache"})


@dataclass(frozen=True)
class Image:
    """One Dockerfile."""

    name: str
    dockerfile: Path

    def text(self) -> str:
        """The Dockerfile, with continued lines joined."""
        return re.sub(r"\\\n\s*", " ", self.dockerfile.read_text())

    def builds_here(self) -> bool:
        """Whether the local base image can take its base's place."""
        return bool(_PYTHON_BASE.search(self.text()))

    def sources(self) -> list[Path]:
        """Every file of the repository that ends up in the image, sorted."""
        names = [word for line in _COPY.findall(self.text()) for word in _copied(line)]
        return sorted({file for name in [*names, *_BIND.findall(self.text())] for file in _files(name)})

    @cached_property
    def content_hash(self) -> str:
        """Changes when the image would; computed once, so that an edit in between does not change the image's name."""
        digest = hashlib.sha256(f"{base_image.key()}\n{self.dockerfile.read_text()}".encode())
        for file in self.sources():
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(REPOSITORY)} {file.stat().st_mode & 0o111} {content}\n".encode())
        return digest.hexdigest()[:16]

    def reference(self) -> str:
        """What manifests call it."""
        found = _VERSION.search(self.text())
        return f"{PREFIX}/{self.name}:{found[1] if found else '0.1'}"

    def content_reference(self) -> str:
        """The name that only this content has."""
        return f"{PREFIX}/{self.name}:h-{self.content_hash}"


def discover(names: Sequence[str] = ()) -> list[Image]:
    """The images of the repository, or those named; a name that does not exist is an error."""
    found = [_image(path) for pattern in _DOCKERFILES for path in sorted(REPOSITORY.glob(pattern))]
    unknown = set(names) - {image.name for image in found}
    if unknown:
        raise ClusterError(f"there is no Dockerfile for {sorted(unknown)}; there are {sorted(i.name for i in found)}")
    chosen = [image for image in found if not names or image.name in names]
    for image in chosen:
        if not image.builds_here():
            say(f"-- {image.name}: not built here, its base is not python:3.13")
    return [image for image in chosen if image.builds_here()]


def build(image: Image) -> None:
    """Build the image unless the store has exactly this content."""
    with exclusive(cache_dir() / f".image-{image.name}.lock"):
        if not built(image):
            base = base_image.ensure()
            with step(f"build image {image.name}"), package_index() as mounts:
                _bud(image, base, mounts)
            _forget_older(image)
        buildah("tag", image.content_reference(), image.reference())


def built(image: Image) -> bool:
    """Whether the store has exactly this content."""
    return _in_store(image.content_reference())


def import_into(node: Node, image: Image) -> None:
    """Put a built image into containerd unless it has this content."""
    name = f"{PREFIX}/{image.name}"
    if image.content_reference() not in node.ctr("images", "ls", "-q").split():
        with step(f"import image {image.name}"):
            import_image(node, image.content_reference(), image.name)
            _remove_older(node, name, image.content_reference())
    node.ctr("images", "tag", "--force", image.content_reference(), image.reference())


def push(image: Image, registry: str) -> str:
    """Push a built image to a registry; return its name there."""
    target = pushed_reference(image, registry)
    local = registry.split(":", maxsplit=1)[0] in ("localhost", "127.0.0.1")
    with step(f"push image {target}"):
        buildah("push", "--quiet", f"--tls-verify={str(not local).lower()}", image.reference(), f"docker://{target}")
    return target


def pushed_reference(image: Image, registry: str) -> str:
    """The image's name in a registry."""
    return f"{registry.rstrip('/')}/{image.reference().removeprefix(f'{PREFIX}/')}"


def _bud(image: Image, base: str, mounts: list[str]) -> None:
    # chroot needs no container runtime; the host's network leads to the package index.
    how = ("--isolation", "chroot", "--network", "host", "--layers", "--quiet")
    what = ("--build-arg", f"BASE={base}", "--file", image.dockerfile, "--tag", image.content_reference())
    buildah("bud", *how, *mounts, *what, REPOSITORY)


def _in_store(reference: str) -> bool:
    return bool(buildah("images", "--quiet", "--filter", f"reference={reference}").strip())


def _forget_older(image: Image) -> None:
    """Earlier contents of this image would fill the store; layers that are still used stay, as long as there is room."""
    if shutil.disk_usage(cache_dir()).free < _ROOM_FOR_LAYERS:
        with suppress(CommandError):  # a build elsewhere stands on one of them
            buildah("rmi", "--prune")
    listed = buildah("images", "--format", "{{.Name}}:{{.Tag}}", "--filter", f"reference={PREFIX}/{image.name}")
    for other in listed.split():
        if other.startswith(f"{PREFIX}/{image.name}:h-") and other != image.content_reference():
            with suppress(CommandError):  # another build may still stand on it
                buildah("rmi", other)


def _remove_older(node: Node, name: str, keep: str) -> None:
    """Remove earlier contents, and the kubelet's records of images that nothing names any more."""
    for other in node.ctr("images", "ls", "-q").split():
        if other.startswith(f"{name}:h-") and other != keep:
            node.ctr("images", "rm", other)
    rows = [line.split() for line in node.ctr("images", "ls").splitlines()[1:]]
    named = {row[2] for row in rows if not row[0].startswith("sha256:")}
    for row in rows:
        if row[0].startswith("sha256:") and row[2] not in named:
            with suppress(CommandError):  # the kubelet was first
                node.ctr("images", "rm", row[0])


def _image(dockerfile: Path) -> Image:
    directory = str(dockerfile.parent.relative_to(REPOSITORY))
    return Image(_NAMES.get(directory, dockerfile.parent.name), dockerfile)


def _copied(line: str) -> list[str]:
    if "--from=" in line:
        return []
    return [word for word in line.split() if not word.startswith("--")][:-1]


def _files(name: str) -> Iterator[Path]:
    for path in REPOSITORY.glob(name.strip("/").removeprefix("./") or "*"):
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from (file for file in path.rglob("*") if file.is_file() and not _IGNORED & set(file.parts))
