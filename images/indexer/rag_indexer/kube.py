"""The little of the Kubernetes API that an indexer needs: read and watch RAGIndexes, read a ConfigMap, apply a status.

A client of its own on aiohttp: the official one would add 30 MB to the image and a second HTTP stack to the process.
"""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson
import yaml

from rag_indexer.errors import IndexerError
from rag_runtime.contracts.index import GROUP, PLURAL, VERSION

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CALL_SECONDS = 30.0
# The server ends a watch after this; a silent connection is noticed at the latest then.
WATCH_SECONDS = 240
# An event is one line, with a whole object in it. The API server holds no larger ones.
MAX_EVENT_BYTES = 4 * 1024 * 1024


class KubeError(IndexerError):
    """The API server did not do what was asked."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Access:
    """Where the API server is and how we prove who we are. The token file is read at each request: tokens rotate."""

    url: str
    tls: ssl.SSLContext | None
    token_file: Path | None = None
    token: str = ""

    @classmethod
    def in_cluster(cls, host: str, port: str) -> Access:
        """What a pod is given."""
        context = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
        name = f"[{host}]" if ":" in host else host
        return cls(f"https://{name}:{port}", context, SERVICE_ACCOUNT / "token")

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Access:
        """The current context of a kubeconfig: for running outside a cluster."""
        config = yaml.safe_load(path.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        tls = _context(cluster, user, path.parent) if cluster["server"].startswith("https") else None
        return cls(cluster["server"].rstrip("/"), tls, token=user.get("token", ""))

    def headers(self) -> dict[str, str]:
        """The proof, as headers."""
        token = self.token_file.read_text().strip() if self.token_file else self.token
        return {"authorization": f"Bearer {token}"} if token else {}


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(item for item in items if item["name"] == name)


def _context(cluster: dict[str, Any], user: dict[str, Any], directory: Path) -> ssl.SSLContext:
    authority = _pem(cluster, "certificate-authority", directory)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate, key = _pem(user, "client-certificate", directory), _pem(user, "client-key", directory)
    if certificate and key:
        # The library reads files only.
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _pem(holder: dict[str, Any], name: str, directory: Path) -> bytes | None:
    if data := holder.get(f"{name}-data"):
        return base64.b64decode(data)
    return (directory / holder[name]).read_bytes() if name in holder else None


class Kube:
    """A client for one namespace."""

    def __init__(self, access: Access, namespace: str) -> None:
        self.namespace = namespace
        self._access = access
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._access.tls or False)
        self._session = aiohttp.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def index(self, name: str) -> dict[str, Any] | None:
        """A RAGIndex; None when there is none."""
        return await self._get(f"{self._indexes}/{quote(name)}")

    async def indexes(self, selector: str) -> tuple[list[dict[str, Any]], str]:
        """All RAGIndexes with a label selector, and the state they were read at."""
        found = await self._get(f"{self._indexes}?labelSelector={quote(selector)}")
        if found is None:
            raise KubeError("the API server does not know RAGIndexes", 404)
        return found.get("items") or [], found["metadata"]["resourceVersion"]

    async def watch(self, selector: str, version: str) -> AsyncIterator[dict[str, Any]]:
        """Events after `version`, until the server ends the watch. Raises `KubeError` (status 410: list again)."""
        query = f"watch=1&labelSelector={quote(selector)}&resourceVersion={quote(version)}&timeoutSeconds={WATCH_SECONDS}"
        timeout = aiohttp.ClientTimeout(total=WATCH_SECONDS + CALL_SECONDS, sock_connect=CALL_SECONDS)
        try:
            path = f"{self._indexes}?{query}&allowWatchBookmarks=true"
            async with self._request("GET", path, timeout=timeout, read_bufsize=MAX_EVENT_BYTES) as answer:
                await _accepted(answer)
                try:
                    async for line in answer.content:
                        event = orjson.loads(line)
                        if event["type"] == "ERROR":
                            raise KubeError(str(event["object"].get("message")), int(event["object"].get("code", 0)))
                        yield event
                finally:
                    _abort(answer)
        except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError) as error:
            raise KubeError(f"the watch broke: {type(error).__name__}: {error}") from error

    async def config_map(self, name: str) -> dict[str, Any] | None:
        """A ConfigMap; None when there is none."""
        return await self._get(f"/api/v1/namespaces/{quote(self.namespace)}/configmaps/{quote(name)}")

    async def apply_status(self, name: str, status: dict[str, Any], manager: str) -> None:
        """Server-side apply of a RAGIndex's status: exactly these fields are `manager`'s from now on. A vanished object is fine."""
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "RAGIndex", "metadata": {"name": name}, "status": status}
        path = f"{self._indexes}/{quote(name)}/status?fieldManager={manager}&force=true"
        headers = {"content-type": "application/apply-patch+yaml"}
        try:
            async with self._request("PATCH", path, data=orjson.dumps(body), headers=headers) as answer:
                # Applying would create an object that was deleted meanwhile; the status path answers 404 instead.
                if answer.status != 404:
                    await _checked(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise KubeError(f"failed to write the status of {name}: {type(error).__name__}: {error}") from error

    @property
    def _indexes(self) -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/{quote(self.namespace)}/{PLURAL}"

    async def _get(self, path: str) -> dict[str, Any] | None:
        try:
            async with self._request("GET", path) as answer:
                if answer.status == 404:
                    return None
                found: dict[str, Any] = orjson.loads(await _checked(answer))
                return found
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise KubeError(f"failed to read {path}: {type(error).__name__}: {error}") from error

    def _request(self, method: str, path: str, **options: Any) -> Any:
        if self._session is None:
            raise RuntimeError("the client is not open")
        options.setdefault("timeout", aiohttp.ClientTimeout(total=CALL_SECONDS))
        headers = {**self._access.headers(), **options.pop("headers", {})}
        return self._session.request(method, self._access.url + path, headers=headers, **options)


def _abort(answer: aiohttp.ClientResponse) -> None:
    """End a stream that is not at its end. Closing politely would wait for a server that has no reason to answer."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


async def _checked(answer: aiohttp.ClientResponse) -> bytes:
    """The body of a good answer. Raises `KubeError` for any other."""
    await _accepted(answer)
    return await answer.read()


async def _accepted(answer: aiohttp.ClientResponse) -> None:
    if answer.status not in (200, 201):
        text = (await answer.read())[:500].decode(errors="replace")
        raise KubeError(f"HTTP {answer.status}: {text}", answer.status)
