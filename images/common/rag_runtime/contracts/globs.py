"""Globs of paths, as a pipeline's sources have them: `*` and `?` stay within a directory, `**` crosses them, `[a-z]` is a set."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKENS = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[!?[^\]]+\]|.", re.DOTALL)


class GlobError(ValueError):
    """A text that is no glob; the message says why."""


@lru_cache(maxsize=512)
def compiled(glob: str) -> re.Pattern[str]:
    """The glob as a regular expression for whole paths. A leading slash means the same as none. Raises `GlobError`."""
    try:
        return re.compile("".join(_translated(token) for token in _TOKENS.findall(glob.lstrip("/"))), re.DOTALL)
    except re.error as error:
        raise GlobError(error.msg) from error


def _translated(token: str) -> str:
    fixed = {"**/": "(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in fixed:
        return fixed[token]
    if token.startswith("[") and len(token) > 2:
        inside = token[1:-1].replace("\\", "\\\\")
        return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return re.escape(token)
