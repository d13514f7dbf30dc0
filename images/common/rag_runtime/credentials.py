"""API keys from mounted Secrets."""

from __future__ import annotations

from pathlib import Path

API_KEY_FILE = "apiKey"


def api_key(directory: Path) -> str:
    """The API key that a mounted Secret holds, without blanks around it.

    Raises `OSError` when it cannot be read, `ValueError` when it is none: two lines, for example, which no header can carry.
    """
    key = (directory / API_KEY_FILE).read_text(errors="replace").strip()
    if not key.isprintable() or "\ufffd" in key:
        raise ValueError(f"the credentials {directory.name!r} hold no API key")
    return key
