"""Secrets as files: which directories a container gets below the credentials mount, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rag_operator.api.v1alpha1.common import SecretRef
from rag_operator.api.v1alpha1.documents import Source
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.store import ExternalMilvus
from rag_operator.desired.context import Manifest
from rag_operator.desired.pods import Volume
from rag_runtime.contracts import pods as contract

AUTHORITY = "ca.crt"


@dataclass(frozen=True, order=True)
class Part:
    """What one Secret puts into a directory: all its keys, or one under another name."""

    directory: str
    secret: str
    key: str = ""
    as_file: str = ""
    optional: bool = False  # pods start without it: nobody is to wait for a Secret that is on its way out


def volumes(parts: Iterable[Part]) -> list[Volume]:
    """One read-only volume for each directory, in a stable order: a changed order would restart pods.

    Of two parts for one file the first one counts, for the API server takes no volume that has a path twice. Whole Secrets come before
    single keys: of two sources that have the same file the kubelet writes the last one, and a key is there because the spec names it.
    """
    files: dict[tuple[str, str], Part] = {}
    for part in parts:
        files.setdefault((part.directory, part.as_file), part)
    directories: dict[str, list[Part]] = {}
    for (directory, _), part in sorted(files.items()):
        directories.setdefault(directory, []).append(part)
    return [_volume(index, directory, found) for index, (directory, found) in enumerate(directories.items())]


def _volume(index: int, directory: str, parts: list[Part]) -> Volume:
    sources = [{"secret": _projection(part)} for part in parts]
    return Volume(f"credentials-{index}", {"projected": {"sources": sources}}, f"{contract.CREDENTIALS_DIR}/{directory}", read_only=True)


def _projection(part: Part) -> Manifest:
    found: Manifest = {"name": part.secret, **({"items": [{"key": part.key, "path": part.as_file}]} if part.key else {})}
    return {**found, "optional": True} if part.optional else found


def mounted(pod: Mapping[str, Any]) -> list[Part]:
    """What the pods of a pod's spec have below the credentials mount: `volumes` read backwards, `optional` left out."""
    projected = {volume["name"]: volume["projected"].get("sources") or () for volume in pod.get("volumes") or () if "projected" in volume}
    mounts = [mount for container in pod.get("containers") or () for mount in container.get("volumeMounts") or ()]
    prefix = f"{contract.CREDENTIALS_DIR}/"
    return [
        part
        for mount in mounts
        if mount["mountPath"].startswith(prefix)
        for source in projected.get(mount["name"], ())
        for part in _of_projection(mount["mountPath"].removeprefix(prefix), source.get("secret") or {})
    ]


def _of_projection(directory: str, secret: Mapping[str, Any]) -> Iterator[Part]:
    if "name" in secret:
        items = secret.get("items") or ({"key": "", "path": ""},)
        yield from (Part(directory, secret["name"], item["key"], item["path"]) for item in items)


def whole(*references: SecretRef | None) -> list[Part]:
    """Each Secret as a directory of its own name."""
    return [Part(reference.name, reference.name) for reference in references if reference is not None]


def of_store(external: ExternalMilvus | None) -> list[Part]:
    """User, token and authority of an external Milvus; the authority lies as `ca.crt` beside the credentials."""
    if external is None:
        return []
    parts = whole(external.credentials_secret_ref)
    authority = external.tls.ca_secret_ref if external.tls is not None else None
    if authority is None:
        return parts
    parts.append(Part(authority.name, authority.name))
    directory = store_directory(external)
    if directory is not None and not (directory == authority.name and authority.key == AUTHORITY):
        parts.append(Part(directory, authority.name, authority.key, AUTHORITY))
    return parts


def store_directory(external: ExternalMilvus | None) -> str | None:
    """The directory that a gateway looks into for an external Milvus."""
    if external is None:
        return None
    if external.credentials_secret_ref is not None:
        return external.credentials_secret_ref.name
    authority = external.tls.ca_secret_ref if external.tls is not None else None
    return authority.name if authority is not None else None


def of_embedder(spec: RAGPipelineSpec) -> list[Part]:
    """What is needed to ask a revision's embedder."""
    external = spec.embedder.external
    return whole(external.credentials_secret_ref if external is not None else None)


def of_answering(spec: RAGPipelineSpec) -> list[Part]:
    """What a gateway needs to answer by a revision."""
    generator = spec.generator.external if spec.generator is not None else None
    return [
        *of_embedder(spec),
        *whole(generator.credentials_secret_ref if generator is not None else None),
        *of_store(spec.vector_store.milvus.external),
    ]


def of_sources(sources: Iterable[Source]) -> list[Part]:
    """What an indexer needs to read the sources."""
    kinds = [source.s3 or source.git for source in sources]
    return whole(*(kind.credentials_secret_ref for kind in kinds if kind is not None))
