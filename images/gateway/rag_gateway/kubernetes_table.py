"""The routing table's ConfigMap, followed through the API server.

The first read, and every one after a watch ended, is a plain `get`: without a resourceVersion it is answered by a quorum, so a gateway
that starts never answers by an old table. Then one watch on the one name, which is all that the gateway's role allows.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
from kubernetes.aio import client, config

from rag_runtime.contracts.routing import TABLE_KEY

logger = logging.getLogger(__name__)

# The server ends a watch after this time; the next begins with a quorum read, which bounds how long a silent watch is believed.
WATCH_SECONDS = 60
# Beyond it a watch that did not end is dead: half-open connections look like quiet ones.
WATCH_GRACE_SECONDS = 10
READ_SECONDS = 10
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
# A ConfigMap has at most 1 MiB, and JSON escapes and managed fields make an event longer.
MAX_EVENT_BYTES = 8 * 1024 * 1024


class ConfigMapSource:
    """Follows one ConfigMap of one namespace, with the pod's service account or KUBECONFIG."""

    def __init__(self, namespace: str, name: str) -> None:
        self._namespace = namespace
        self._name = name

    async def texts(self) -> AsyncIterator[str | bytes]:
        """The table's text whenever it may have changed; reads again for ever."""
        pause = FIRST_PAUSE_SECONDS
        async with client.ApiClient(await _configuration()) as api_client:
            api = client.CoreV1Api(api_client)
            while True:
                try:
                    async for text in self._followed(api):
                        pause = FIRST_PAUSE_SECONDS
                        yield text
                except (client.ApiException, aiohttp.ClientError, OSError, ValueError, KeyError) as error:
                    logger.warning("failed to follow the routing table", extra={"configmap": self._name, "reason": _short(error)})
                    await asyncio.sleep(random.uniform(pause / 2, pause))
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _followed(self, api: client.CoreV1Api) -> AsyncIterator[str]:
        """One quorum read and one watch."""
        response = await api.read_namespaced_config_map(self._name, self._namespace, _preload_content=False, _request_timeout=READ_SECONDS)
        current = _checked(await _read(response))
        if (text := _text(current)) is not None:
            yield text
        version = current["metadata"]["resourceVersion"]
        async for event in self._events(api, version):
            if event["type"] == "ERROR":
                return  # too old to go on from, or the server stops: read again
            if event["type"] in ("ADDED", "MODIFIED") and (text := _text(event["object"])) is not None:
                yield text

    async def _events(self, api: client.CoreV1Api, version: str) -> AsyncIterator[dict[str, Any]]:
        response = await api.list_namespaced_config_map(
            self._namespace,
            field_selector=f"metadata.name={self._name}",
            resource_version=version,
            watch=True,
            timeout_seconds=WATCH_SECONDS,
            _preload_content=False,
            _request_timeout=WATCH_SECONDS + WATCH_GRACE_SECONDS,
        )
        try:
            if response.status != 200:
                _checked(await response.read(), response.status)
            async for line in _lines(response.content):
                yield orjson.loads(line)
        finally:
            response.close()


async def _configuration() -> client.Configuration:
    configuration = client.Configuration()
    try:
        config.load_incluster_config(configuration)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
    return configuration


async def _read(response: aiohttp.ClientResponse) -> bytes:
    async with response:
        return await response.read()


def _checked(body: bytes, status: int = 200) -> dict[str, Any]:
    parsed: dict[str, Any] = orjson.loads(body)
    if status != 200 or parsed.get("kind") == "Status":
        raise client.ApiException(status=parsed.get("code", status), reason=parsed.get("message"))
    return parsed


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines without aiohttp's own limit on their length."""
    held = b""
    async for part in content.iter_any():
        *lines, held = (held + part).split(b"\n")
        if len(held) > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        for line in lines:
            if line:
                yield line


def _text(configmap: dict[str, Any]) -> str | None:
    text = (configmap.get("data") or {}).get(TABLE_KEY)
    return text if isinstance(text, str) else None


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
