"""API keys from a mounted Secret, read again when it changes.

One file a key, named by its owner. The kubelet replaces a Secret's files by switching a link, so a change shows in the directory's
and the files' stat. Keys are kept and compared as SHA-256, so neither memory dumps nor timing give one away.
"""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path

from .deadline import Clock
from .errors import UnauthorizedError, UnavailableError

logger = logging.getLogger(__name__)

# How long a revoked key may still be let in, beyond the kubelet's own delay.
CHECK_SECONDS = 1.0
# How long keys are believed that cannot be read again. Files change under us while the kubelet switches; beyond that a key may have been
# revoked that nobody sees revoked.
BELIEVED_SECONDS = 60.0

Signature = tuple[tuple[str, int, int, int], ...]


class ApiKeys:
    """Who holds which key. Without the directory nobody is asked for one."""

    def __init__(self, directory: Path, clock: Clock = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._owners: dict[bytes, str] = {}
        self._signature: Signature | None = None
        self._checked = -CHECK_SECONDS
        self._unreadable_since: float | None = None
        self._required = False

    def owner(self, authorization: str | None) -> str | None:
        """The owner of a `Bearer` key, in a header as latin-1 decodes it; None when no keys are asked for. Raises `UnauthorizedError`.

        Raises `UnavailableError` when the keys could not be read for so long that nobody can tell.
        """
        self._refresh()
        if not self._required:
            return None
        if self._unreadable_since is not None and self._checked - self._unreadable_since >= BELIEVED_SECONDS:
            raise UnavailableError("the API keys cannot be read", code="keys_unreadable", retry_after=5)
        scheme, _, key = (authorization or "").partition(" ")
        # The bytes that came: what they mean is the client's and the Secret's affair, and most write UTF-8.
        owner = self._owners.get(_digest(key.encode("latin-1", "replace").strip())) if scheme.lower() == "bearer" else None
        if owner is None:
            raise UnauthorizedError("an API key is required: authorization: Bearer <key>" if not key else "this API key is not known")
        return owner

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        try:
            self._required = self._required or self._directory.is_dir()
            signature = _signature(self._directory) if self._required else ()
            if signature != self._signature:
                self._owners = _read(self._directory) if self._required else {}
                self._signature = signature
            self._unreadable_since = None
        except OSError as error:
            # Who cannot look whether keys are asked for must not let everybody in.
            self._required = True
            self._unreadable_since = now if self._unreadable_since is None else self._unreadable_since
            logger.warning("failed to read the API keys", extra={"reason": error.strerror})


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if not path.name.startswith(".") and path.is_file())


def _signature(directory: Path) -> Signature:
    stats = ((path.name, path.stat()) for path in _files(directory))
    return tuple((name, stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def _read(directory: Path) -> dict[bytes, str]:
    keys = {path.name: path.read_bytes().strip() for path in _files(directory)}
    return {_digest(key): owner for owner, key in keys.items() if key}


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
