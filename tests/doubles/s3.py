"""A stand-in for an S3 server: lists in pages and gives objects, and fails in the ways real ones do."""

from __future__ import annotations

import hashlib
from xml.sax.saxutils import escape

from aiohttp import web

from doubles.web import Double

BUCKET = "docs"


class S3Double(Double):
    """One bucket. `fault` is one of: error (HTTP 500 for everything), half (each listing fails at its second page), unreadable, denied."""

    def __init__(self, objects: dict[str, bytes] | None = None, *, page: int = 5) -> None:
        super().__init__()
        self.objects = dict(objects or {})
        self.page = page
        self.fault: str | None = None
        self.gets: list[str] = []
        self.lists = 0

    def routes(self) -> list[web.RouteDef]:
        """ListObjectsV2 and GetObject, path style."""
        bucket = f"/{BUCKET}"
        return [web.get(bucket, self._list), web.get(f"{bucket}/", self._list), web.get(bucket + "/{key:.+}", self._get)]

    async def _list(self, request: web.Request) -> web.Response:
        token = request.query.get("continuation-token", "")
        self.lists += not token
        if self.fault == "denied":
            return _error(403, "AccessDenied")
        if self.fault == "error" or (self.fault == "half" and token):
            return _error(500, "InternalError")
        keys = sorted(key for key in self.objects if key.startswith(request.query.get("prefix", "")) and key > token)
        shown, rest = keys[: self.page], keys[self.page :]
        following = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if rest else ""
        contents = "".join(self._described(key) for key in shown)
        body = f"<ListBucketResult><IsTruncated>{str(bool(rest)).lower()}</IsTruncated>{following}{contents}</ListBucketResult>"
        return web.Response(text=body, content_type="application/xml")

    def _described(self, key: str) -> str:
        facts = f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>{len(self.objects[key])}</Size>"
        return f"<Contents><Key>{escape(key)}</Key>{facts}<ETag>&quot;{_etag(self.objects[key])}&quot;</ETag></Contents>"

    async def _get(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        self.gets.append(key)
        if self.fault == "denied":
            return _error(403, "AccessDenied")
        if self.fault in ("error", "unreadable"):
            return _error(500, "InternalError")
        if key not in self.objects:
            return _error(404, "NoSuchKey")
        headers = {"ETag": f'"{_etag(self.objects[key])}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return web.Response(body=self.objects[key], headers=headers)


def _etag(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _error(status: int, code: str) -> web.Response:
    body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return web.Response(status=status, text=body, content_type="application/xml")
