"""A small client of the real API server: server-side dry runs with strict field validation, many at a time."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from polling import until
from rag_operator import names

Manifest = dict[str, Any]
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PLURALS = {names.PIPELINE_KIND: names.PIPELINES, names.INDEX_KIND: names.INDEXES}


@dataclass(frozen=True)
class Answer:
    """What the API server said: the stored object, or why it was refused."""

    status: int
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        return self.status < 300

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


class ApiClient:
    """Sends objects as the administrator."""

    def __init__(self, kubeconfig: Path, directory: Path, kubectl: Callable[..., str] | None = None) -> None:
        self.kubectl = kubectl
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        pair = directory / "test-client.pem"
        pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        context.load_cert_chain(pair)
        self._http = httpx.Client(base_url=cluster["server"], verify=context, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def install(self, crd: Manifest) -> None:
        """Create or replace a definition and wait until the server serves exactly this one."""
        name = crd["metadata"]["name"]
        current = self._http.get(f"{_CRDS}/{name}").json()
        if current.get("kind") == "Status":
            self._http.post(_CRDS, json=crd).raise_for_status()
        else:
            crd = {**crd, "metadata": {**crd["metadata"], "resourceVersion": current["metadata"]["resourceVersion"]}}
            self._http.put(f"{_CRDS}/{name}", json=crd).raise_for_status()
        until(lambda: self._serves(name), 30, f"{name} to be served", every=0.05)

    def definition(self, plural: str) -> Manifest:
        """Return a definition as it is stored."""
        return dict(self._http.get(f"{_CRDS}/{plural}.{names.GROUP}").raise_for_status().json())

    def create(self, manifest: Manifest, *, dry_run: bool = True) -> Answer:
        return self._send("POST", _path(manifest, named=False), manifest, dry_run)

    def create_all(self, manifests: Iterable[Manifest]) -> list[Answer]:
        """Dry-run many objects, a few at a time."""
        with ThreadPoolExecutor(4) as pool:
            return [*pool.map(self.create, manifests)]

    def update(self, manifest: Manifest, *, dry_run: bool = True, subresource: str = "") -> Answer:
        return self._send("PUT", _path(manifest) + subresource, manifest, dry_run)

    def get(self, manifest: Manifest) -> Manifest:
        return dict(self._http.get(_path(manifest)).raise_for_status().json())

    def delete(self, manifest: Manifest) -> Answer:
        answer = self._http.delete(_path(manifest))
        return Answer(answer.status_code, answer.json())

    def _send(self, verb: str, path: str, manifest: Manifest, dry_run: bool) -> Answer:
        options = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        answer = self._http.request(verb, path, params=options, json=manifest)
        return Answer(answer.status_code, answer.json())

    def _conditions(self, name: str) -> list[dict[str, str]]:
        return list(self._http.get(f"{_CRDS}/{name}").json().get("status", {}).get("conditions") or ())

    def _serves(self, name: str) -> bool:
        """Whether the definition is established and the kind answers."""
        plural = name.partition(".")[0]
        conditions = {item["type"]: item["status"] for item in self._conditions(name)}
        served = self._http.get(f"/apis/{names.API_VERSION}/namespaces/default/{plural}").is_success
        return conditions.get("Established") == "True" and served


def _path(manifest: Manifest, *, named: bool = True) -> str:
    metadata = manifest["metadata"]
    base = f"/apis/{manifest['apiVersion']}/namespaces/{metadata.get('namespace', 'default')}/{_PLURALS[manifest['kind']]}"
    return f"{base}/{metadata['name']}" if named else base
