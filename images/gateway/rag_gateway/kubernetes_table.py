"""The routing table's ConfigMap, followed through the API server.

The first read, and every one after a watch ended, is a plain `get`: without a resourceVersion it is answered by a quorum, so a gateway
that starts never answers by an old table. Then one watch on the one name, which is all that the gateway's role allows.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import orjson
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from rag_runtime.contracts.routing import TABLE_KEY

logger = logging.getLogger(__name__)

# The server ends a watch after this time; the next begins with a quorum read, which bounds how long a silent watch is believed.
WATCH_SECONDS = 60
# Beyond it a watch that did not end is dead: half-open connections look like quiet ones.
WATCH_GRACE_SECONDS = 10
READ_SECONDS = 10
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
# A gateway is there before its first table, and should answer as soon as there is one.
MISSING_PAUSE_SECONDS = 0.5
# A ConfigMap has at most 1 MiB, and JSON escapes and managed fields make an event longer.
MAX_EVENT_BYTES = 8 * 1024 * 1024


class ReadError(Exception):
    """The API server refused, or said what cannot be understood."""


class MissingError(ReadError):
    """There is no such ConfigMap: the pipeline has nothing to answer by yet."""


class ConfigMapSource:
    """Follows one ConfigMap of one namespace, with the pod's service account or KUBECONFIG."""

    def __init__(self, namespace: str, name: str) -> None:
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"
        self._name = name

    async def texts(self) -> AsyncIterator[str | bytes]:
        """The table's text whenever it may have changed; reads again for ever."""
        pause, waiting = FIRST_PAUSE_SECONDS, False
        while True:
            try:
                async with _connected() as api:
                    async for text in self._followed(api):
                        pause, waiting = FIRST_PAUSE_SECONDS, False
                        yield text
            except MissingError:
                if not waiting:
                    logger.info("waiting for the routing table", extra={"configmap": self._name})
                waiting = True
                await asyncio.sleep(MISSING_PAUSE_SECONDS)
            except (ReadError, config.ConfigException, aiohttp.ClientError, OSError, TimeoutError) as error:
                logger.warning("failed to follow the routing table", extra={"configmap": self._name, "reason": _short(error)})
                await asyncio.sleep(random.uniform(pause / 2, pause))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _followed(self, api: _Api) -> AsyncIterator[str]:
        """A quorum read and a watch, again and again until one fails."""
        while True:
            current = await self._read(api)
            if (text := _text(current)) is not None:
                yield text
            async with aclosing(self._events(api, current["metadata"]["resourceVersion"])) as events:
                async for event in events:
                    if event.get("type") == "ERROR":
                        break  # too old to go on from, or the server stops: read again
                    if event.get("type") in ("ADDED", "MODIFIED") and (text := _text(event["object"])) is not None:
                        yield text

    async def _read(self, api: _Api) -> dict[str, Any]:
        async with api.get(f"{self._collection}/{self._name}", {}, READ_SECONDS) as response:
            return _parsed(await response.read())

    async def _events(self, api: _Api, version: str) -> AsyncGenerator[dict[str, Any], None]:
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={self._name}",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        async with api.get(self._collection, query, WATCH_SECONDS + WATCH_GRACE_SECONDS) as response:
            async for line in _lines(response.content):
                yield _parsed(line)


class _Api:
    """GET requests to the API server."""

    def __init__(self, configuration: Configuration, session: aiohttp.ClientSession) -> None:
        self._configuration = configuration
        self._session = session

    @asynccontextmanager
    async def get(self, path: str, query: Mapping[str, str], seconds: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """A 200 answer. Raises `ReadError` on any other."""
        # Asked for each time: the service account's token is renewed on disk.
        token = (await self._configuration.auth_settings()).get("BearerToken")
        headers = {"authorization": str(token["value"])} if token else {}
        timeout = aiohttp.ClientTimeout(total=seconds)
        url = str(self._configuration.host).rstrip("/") + path
        async with self._session.get(url, params=query, headers=headers, timeout=timeout) as response:
            if response.status == 404:
                raise MissingError(path)
            if response.status != 200:
                raise ReadError(f"HTTP {response.status}: {(await response.content.read(500)).decode(errors='replace')}")
            yield response


@asynccontextmanager
async def _connected() -> AsyncIterator[_Api]:
    configuration = await _configuration()
    connector = aiohttp.TCPConnector(ssl=_tls(configuration))
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        yield _Api(configuration, session)


async def _configuration() -> Configuration:
    configuration = Configuration()
    try:
        config.load_incluster_config(configuration)
    except config.ConfigException:
        await config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    return configuration


def _tls(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ReadError(f"not JSON: {body[:80]!r}") from error
    return parsed


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines without aiohttp's own limit on their length."""
    held = b""
    async for part in content.iter_any():
        *lines, held = (held + part).split(b"\n")
        if len(held) > MAX_EVENT_BYTES:
            raise ReadError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        for line in lines:
            if line:
                yield line


def _text(configmap: dict[str, Any]) -> str | None:
    text = (configmap.get("data") or {}).get(TABLE_KEY)
    return text if isinstance(text, str) else None


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
