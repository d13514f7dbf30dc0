"""Which paths of a source are its documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rag_indexer.errors import PermanentError
from rag_runtime.contracts.globs import GlobError, compiled
from rag_runtime.contracts.index import SourceSpec


def selector(spec: SourceSpec) -> Callable[[str], bool]:
    """A predicate of paths: in any `include` (all, when empty) and in no `exclude`. Raises `PermanentError` that names what is no glob."""
    wanted = _patterns(spec, "include", spec.include)
    unwanted = _patterns(spec, "exclude", spec.exclude)

    def selects(path: str) -> bool:
        included = not wanted or any(pattern.fullmatch(path) for pattern in wanted)
        return included and not any(pattern.fullmatch(path) for pattern in unwanted)

    return selects


def _patterns(spec: SourceSpec, field: str, globs: Sequence[str]) -> list[re.Pattern[str]]:
    patterns = []
    for position, glob in enumerate(globs):
        try:
            patterns.append(compiled(glob))
        except GlobError as error:
            raise PermanentError(f"source {spec.name}: {field}[{position}] {glob!r} is no glob: {error}") from error
    return patterns
