"""Opening a source of the API as a `Source`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rag_indexer.errors import PermanentError
from rag_indexer.sources.configmap import ConfigMapSource, Get
from rag_indexer.sources.directory import DirectorySource
from rag_indexer.sources.git import Connect, GitSource
from rag_indexer.sources.port import Source
from rag_indexer.sources.s3 import S3Source
from rag_runtime.contracts.index import Named, SourceSpec
from rag_runtime.contracts.index import S3Source as S3Location


@dataclass(frozen=True)
class Surroundings:
    """Where this process finds what sources refer to. Without `config_map` (run alone) ConfigMaps are directories below `sources`."""

    sources: Path
    credentials: Path
    work: Path
    config_map: Get | None = None
    git_connect: Connect | None = None

    def secret(self, reference: Named | None) -> dict[str, str]:
        """The keys of a mounted Secret; empty without a reference."""
        if reference is None:
            return {}
        directory = self.credentials / reference.name
        if not directory.is_dir():
            raise PermanentError(f"Secret {reference.name} is not mounted at {directory}")
        # Other keys of the Secret need not be text.
        keys = (name for name in os.listdir(directory) if not name.startswith("."))
        return {name: (directory / name).read_bytes().decode(errors="replace") for name in keys}


def open_source(spec: SourceSpec, around: Surroundings, *, max_bytes: int) -> Source:
    """The source. Raises `PermanentError` when the spec cannot be used here."""
    if spec.s3 is not None:
        return S3Source(spec.name, spec.s3, s3_login(spec.s3, around, f"source {spec.name}"), max_bytes=max_bytes)
    if spec.pvc is not None:
        return DirectorySource(spec.name, around.sources / spec.name / spec.pvc.path, max_bytes=max_bytes)
    if spec.git is not None:
        secret = around.secret(spec.git.credentials_secret_ref)
        return GitSource(spec.name, spec.git, secret, around.work, max_bytes=max_bytes, connect=around.git_connect)
    if spec.config_map is not None and around.config_map is not None:
        return ConfigMapSource(spec.name, spec.config_map.name, around.config_map, max_bytes=max_bytes)
    if spec.config_map is not None:
        return DirectorySource(spec.name, around.sources / spec.name, max_bytes=max_bytes)
    raise PermanentError(f"source {spec.name}: none of s3, pvc, git and configMap is set")


def s3_login(location: S3Location, around: Surroundings, whose: str) -> dict[str, str]:
    """The key of a bucket and its secret; empty for anonymous access. Raises `PermanentError` when one is there without the other."""
    secret = {key: value.strip() for key, value in around.secret(location.credentials_secret_ref).items()}
    if secret and not {"accessKeyId", "secretAccessKey"} <= set(secret):
        raise PermanentError(f"{whose}: its Secret lacks accessKeyId or secretAccessKey")
    return secret


class OpenSources:
    """Sources that stay open from pass to pass."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._open: dict[str, tuple[int, Source]] = {}

    async def of(self, spec: SourceSpec, max_bytes: int) -> Source:
        """The source, opened when it is not."""
        limit, source = self._open.get(spec.model_dump_json(), (-1, None))
        if source is None or limit != max_bytes:
            await self.forget(spec)
            source = open_source(spec, self._around, max_bytes=max_bytes)
            self._open[spec.model_dump_json()] = max_bytes, source
        return source

    async def forget(self, spec: SourceSpec) -> None:
        """Open it anew the next time: its Secret may have been replaced."""
        await self._close({spec.model_dump_json()})

    async def keep(self, specs: Iterable[SourceSpec]) -> None:
        """Close all others: a copy of a repository takes space."""
        await self._close(self._open.keys() - {spec.model_dump_json() for spec in specs})

    async def close(self) -> None:
        """Close them all."""
        await self._close(set(self._open))

    async def _close(self, keys: set[str]) -> None:
        for key in keys & self._open.keys():
            await self._open.pop(key)[1].close()
