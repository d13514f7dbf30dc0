"""Requests to the API server: raw objects in, raw objects out, every one with a time limit and every failure an `ApiError`.

The official client loads the credentials (`access.py`); its generated models are not used, because they cost memory and time for every
object and drop fields that they do not know. Writes pass a fence just before their bytes leave (`lease.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import orjson

from rag_operator import errors, names
from rag_operator.kube.access import Access
from rag_operator.kube.resources import CONFIG_MAPS, Resource, of

APPLY = "application/apply-patch+yaml"  # JSON is YAML
MERGE = "application/merge-patch+json"
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
READS = frozenset({"GET", "HEAD"})

Object = dict[str, Any]
Fence = Callable[[], None]


class Page(NamedTuple):
    """A part of a list."""

    items: list[Object]
    version: int  # resourceVersion of the moment that the whole list shows


def open_fence() -> None:
    """The fence of a process that needs no leadership, such as the command line."""


def _fenced(fence: Fence) -> type[aiohttp.ClientRequest]:
    """A request that asks the fence last of all: after DNS, connecting and waiting for a free connection."""

    class Fenced(aiohttp.ClientRequest):
        async def send(self, conn: Any) -> aiohttp.ClientResponse:
            if self.method not in READS:
                fence()
            return await super().send(conn)

    return Fenced


class Client:
    """One connection pool to one API server. Use it as an asynchronous context manager."""

    def __init__(
        self,
        access: Access,
        *,
        fence: Fence = open_fence,
        read_timeout: float = 20.0,
        write_timeout: float = 5.0,
        page_size: int = 500,
        connections: int = 32,
        agent: str = names.FIELD_MANAGER,
    ) -> None:
        self._access, self._fence, self._agent = access, fence, agent
        self._read = aiohttp.ClientTimeout(total=read_timeout)
        self._write = aiohttp.ClientTimeout(total=write_timeout)
        self._page_size, self._connections = page_size, connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._access.ssl_context(), limit=self._connections)
        headers = {"User-Agent": self._agent}
        self._session = aiohttp.ClientSession(connector=connector, request_class=_fenced(self._fence), headers=headers)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """One object as it is now (a quorum read), or `None`."""
        try:
            return await self._send("GET", resource.path(namespace, name))
        except errors.NotFound:
            return None

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Page]:
        """All objects, page by page, as of one moment. Raises `Gone` when the moment passed away meanwhile: begin again."""
        query = {"limit": str(self._page_size), "labelSelector": labels, "fieldSelector": fields}
        query = {key: value for key, value in query.items() if value}
        while True:
            answer = await self._send("GET", resource.path(namespace), query=query, accept=METADATA if metadata_only else JSON)
            meta = answer.get("metadata") or {}
            yield Page(answer.get("items") or [], int(meta.get("resourceVersion") or 0))
            following = meta.get("continue")
            if not following:
                return
            query["continue"] = following

    async def list(self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = "") -> list[Object]:
        """All objects, as of one moment."""
        return [item async for page in self.pages(resource, namespace, labels=labels, fields=fields) for item in page.items]

    async def apply(self, manifest: Mapping[str, Any], *, manager: str = names.FIELD_MANAGER, subresource: str | None = None) -> Object:
        """Server-side apply of a full intent; what others own of it becomes ours."""
        query = {"fieldManager": manager, "force": "true"}
        return await self._send("PATCH", _path(manifest, subresource), query=query, body=manifest, content=APPLY)

    async def create(self, manifest: Mapping[str, Any]) -> Object:
        """Create an object. Raises `Conflict` when it exists."""
        meta = manifest["metadata"]
        path = of(manifest).path(meta.get("namespace"))
        return await self._send("POST", path, query={"fieldManager": names.FIELD_MANAGER}, body=manifest)

    async def replace(self, manifest: Mapping[str, Any]) -> Object:
        """Put an object in the place of the one with its `resourceVersion`. Raises `Conflict` when that moved on."""
        return await self._send("PUT", _path(manifest), query={"fieldManager": names.FIELD_MANAGER}, body=manifest)

    async def patch(self, resource: Resource, namespace: str | None, name: str, change: Mapping[str, Any]) -> Object:
        """Merge a change into an object."""
        query = {"fieldManager": names.FIELD_MANAGER}
        return await self._send("PATCH", resource.path(namespace, name), query=query, body=change, content=MERGE)

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str, version: str = "", propagation: str = "Background"
    ) -> None:
        """Delete exactly the object with this UID; one that is gone, or has another UID, is not an error.

        With a `version` only as it was seen: raises `Conflict` when it changed since.
        """
        exactly = {"uid": uid, **({"resourceVersion": version} if version else {})}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": exactly, "propagationPolicy": propagation}
        try:
            await self._send("DELETE", resource.path(namespace, name), body=body)
        except errors.NotFound:
            return
        except errors.Conflict:
            if version:
                raise

    async def is_terminating(self, namespace: str) -> bool:
        """Whether the namespace is being deleted. Found out by a rehearsal, for to read namespaces would be a right of its own."""
        rehearsed = {"apiVersion": CONFIG_MAPS.api_version, "kind": CONFIG_MAPS.kind, "metadata": {"generateName": "rehearsal-"}}
        try:
            await self._send("POST", CONFIG_MAPS.path(namespace), query={"dryRun": "All"}, body=rehearsed)
        except errors.Terminating:
            return True
        except (errors.Forbidden, errors.Invalid):
            return False  # what else refuses it, such as a quota, is asked later
        return False

    async def read(self, path: str) -> Object:
        """A path of the API outside the objects, such as `/apis` or `/version`."""
        return await self._send("GET", path)

    async def call(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Object:
        """Post to a path outside the objects, such as a Service behind the API server's proxy."""
        return await self._send("POST", path, body=body, headers=headers)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = JSON,
        accept: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        if self._session is None:
            raise RuntimeError("the client is not open: use it as a context manager")
        sent = {**(headers or {}), "Accept": accept, "Content-Type": content}
        authorization = await self._access.authorization()
        if authorization:
            sent["Authorization"] = authorization
        request = self._session.request(
            method,
            self._access.server + path,
            params=query,
            data=orjson.dumps(body) if body is not None else None,
            headers=sent,
            timeout=self._read if method in READS else self._write,
        )
        try:
            async with request as response:
                return _parsed(f"failed to {method} {path}", response, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            raise errors.Unavailable(f"failed to {method} {path}: {error or type(error).__name__}") from error


def _path(manifest: Mapping[str, Any], subresource: str | None = None) -> str:
    meta = manifest["metadata"]
    return of(manifest).path(meta.get("namespace"), meta["name"], subresource)


def _parsed(what: str, response: aiohttp.ClientResponse, body: bytes) -> Object:
    if response.status < 400:
        found: Object = orjson.loads(body)
        return found
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = {"message": body[:200].decode(errors="replace")}
    if not isinstance(answer, dict):
        answer = {"message": str(answer)[:200]}
    # A Service behind the proxy words its errors as OpenAI does.
    proxied = answer.get("error")
    message = answer.get("message") or (proxied.get("message") if isinstance(proxied, dict) else proxied) or ""
    wish = response.headers.get("Retry-After", "")
    raise errors.from_status(
        response.status,
        f"{what}: {response.status} {message}",
        reason=str(answer.get("reason", "")),
        retry_after=float(wish) if wish.isdigit() else None,
        causes=_causes(answer),
    )


def _causes(answer: Mapping[str, Any]) -> list[str]:
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [str(cause.get("reason")) for cause in causes or () if isinstance(cause, dict)]
