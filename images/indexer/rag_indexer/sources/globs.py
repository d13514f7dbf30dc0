"""Include and exclude globs over paths: `*` and `?` stay within a directory, `**` crosses them, `[a-z]` is a set."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

_TOKENS = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[!?[^\]]+\]|.", re.DOTALL)


def selector(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """A predicate of paths: in any `include` (all, when empty) and in no `exclude`."""
    wanted = [compiled(glob) for glob in include]
    unwanted = [compiled(glob) for glob in exclude]

    def selects(path: str) -> bool:
        included = not wanted or any(pattern.fullmatch(path) for pattern in wanted)
        return included and not any(pattern.fullmatch(path) for pattern in unwanted)

    return selects


@lru_cache(maxsize=512)
def compiled(glob: str) -> re.Pattern[str]:
    """The glob as a regular expression. A leading slash means the same as none."""
    return re.compile("".join(_translated(token) for token in _TOKENS.findall(glob.lstrip("/"))), re.DOTALL)


def _translated(token: str) -> str:
    fixed = {"**/": "(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in fixed:
        return fixed[token]
    if token.startswith("[") and len(token) > 2:
        inside = token[1:-1].replace("\\", "\\\\")
        return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return re.escape(token)
