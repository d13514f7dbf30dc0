"""The cluster that a command speaks to: kubeconfig, context and namespace as kubectl finds them. I/O."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import yaml
from kubernetes.aio.config.config_exception import ConfigException

from rag_operator.kube.access import Access, load
from rag_operator.kube.client import Client, Object
from rag_operator.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, INDEXES, PIPELINES
from rag_operator.names import KIND_REVISION, LABEL_KIND, LABEL_PIPELINE

ANSWER_SECONDS: Final = 120.0


class CommandError(Exception):
    """A command cannot be done; the message says why, and what can be done instead."""


@dataclass(frozen=True)
class Place:
    """Where to look: `kubectl`'s own options."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True)
class Session:
    """An open connection and the namespace that is meant."""

    client: Client
    namespace: str

    async def pipeline(self, name: str) -> Object:
        """Return a pipeline. Raises `CommandError` when it does not exist."""
        found = await self.client.get(PIPELINES, self.namespace, name)
        if found is None:
            raise CommandError(f"there is no RAGPipeline {name!r} in namespace {self.namespace!r}; kubectl get ragp -A lists them")
        return found

    async def pipelines(self) -> list[Object]:
        """Return every pipeline of the namespace."""
        return await self.client.list(PIPELINES, self.namespace)

    async def indexes(self, pipeline: str) -> list[Object]:
        """Return the indexes of a pipeline."""
        return await self.client.list(INDEXES, self.namespace, labels=f"{LABEL_PIPELINE}={pipeline}")

    async def records(self, pipeline: str) -> list[Object]:
        """Return the recorded revisions of a pipeline."""
        # A StatefulSet's own ControllerRevisions carry the pipeline's label, too.
        ours = f"{LABEL_PIPELINE}={pipeline},{LABEL_KIND}={KIND_REVISION}"
        return await self.client.list(CONTROLLER_REVISIONS, self.namespace, labels=ours)

    async def text(self, config_map: str, key: str) -> str:
        """Return what a ConfigMap says under a key. Raises `CommandError` when it says nothing."""
        found = await self.client.get(CONFIG_MAPS, self.namespace, config_map)
        texts: dict[str, str] = (found.get("data") or {}) if found else {}
        if key not in texts:
            raise CommandError(f"ConfigMap {config_map!r} in namespace {self.namespace!r} has no key {key!r}, so the spec would be refused")
        return texts[key]

    async def annotate(self, name: str, annotations: Mapping[str, str]) -> Object:
        """Set annotations of a pipeline."""
        return await self.client.patch(PIPELINES, self.namespace, name, {"metadata": {"annotations": dict(annotations)}})

    async def post(self, service: str, port: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Object:
        """Post to a Service through the API server, which needs nothing but the user's own rights."""
        proxied = f"/api/v1/namespaces/{self.namespace}/services/{service}:{port}/proxy{path}"
        return await self.client.call(proxied, body, headers)


@asynccontextmanager
async def connect(place: Place) -> AsyncIterator[Session]:
    """Open a session."""
    access, namespace = await _access(place)
    async with Client(access, write_timeout=ANSWER_SECONDS) as client:
        yield Session(client, place.namespace or namespace)


async def _access(place: Place) -> tuple[Access, str]:
    try:
        configs = _configs(place)
        # Of several files the client library takes the last one's context, kubectl the first one's: a verb must not reach another cluster.
        context = place.context or next((name for config in configs if (name := config.get("current-context"))), None)
        return await load(place.kubeconfig, context), _namespace(configs, context)
    except (ConfigException, OSError, yaml.YAMLError) as error:
        files = ", ".join(_files(place))
        raise CommandError(f"no cluster is known: failed to read {files}: {error}; --kubeconfig or KUBECONFIG names another") from error


def _files(place: Place) -> list[str]:
    return (place.kubeconfig or os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")).split(os.pathsep)


def _configs(place: Place) -> list[Mapping[str, Any]]:
    return [_read(file) for file in _files(place) if os.path.exists(file)]


def _read(file: str) -> Mapping[str, Any]:
    with open(file, encoding="utf-8") as stream:
        found = yaml.safe_load(stream)
    if not isinstance(found, dict):
        raise ConfigException(f"{file} is no kubeconfig")
    return found


def _namespace(configs: Iterable[Mapping[str, Any]], context: str | None) -> str:
    # kubectl takes the namespace of the context; the client library does not.
    entries = [entry for config in configs for entry in config.get("contexts") or ()]
    found = next((entry.get("context") or {} for entry in entries if entry["name"] == context), {})
    return str(found.get("namespace") or "default")
