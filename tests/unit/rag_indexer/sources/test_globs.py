from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from rag_indexer.errors import PermanentError
from rag_indexer.sources.globs import selector
from rag_runtime.contracts.index import SourceSpec


def source(include: Sequence[str] = (), exclude: Sequence[str] = ()) -> SourceSpec:
    return SourceSpec(name="docs", include=tuple(include), exclude=tuple(exclude))


def test_everything_is_selected_without_globs() -> None:
    assert selector(source())("any/thing")


def test_exclude_wins_over_include() -> None:
    selects = selector(source(["**/*.md", "*.txt"], ["drafts/**"]))
    assert selects("a.md")
    assert selects("a.txt")
    assert not selects("a.html")
    assert not selects("drafts/a.md")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (source(["*.md", "[z-a]*.md"]), "source docs: include[1] '[z-a]*.md' is no glob: bad character range z-a"),
        (source(exclude=["[!].md"]), "source docs: exclude[0] '[!].md' is no glob: unterminated character set"),
    ],
)
def test_what_is_no_glob_is_named(spec: SourceSpec, says: str) -> None:
    with pytest.raises(PermanentError, match=f"^{re.escape(says)}$"):
        selector(spec)
