from __future__ import annotations

import pytest

from rag_indexer.sources.globs import selector


@pytest.mark.parametrize(
    ("glob", "path", "selected"),
    [
        ("**/*.md", "a.md", True),
        ("**/*.md", "x/y/a.md", True),
        ("**/*.md", "a.mdx", False),
        ("*.md", "a.md", True),
        ("*.md", "x/a.md", False),
        ("docs/**", "docs/a/b", True),
        ("docs/**", "docs", True),
        ("docs/**", "docs2/a", False),
        ("docs/**/x.txt", "docs/x.txt", True),
        ("docs/**/x.txt", "docs/a/b/x.txt", True),
        ("/docs/a", "docs/a", True),
        ("file?.txt", "file1.txt", True),
        ("file?.txt", "file12.txt", False),
        ("file?.txt", "file/.txt", False),
        ("[a-c].txt", "b.txt", True),
        ("[!a-c].txt", "b.txt", False),
        ("a+b(c).txt", "a+b(c).txt", True),
        ("[.txt", "[.txt", True),
    ],
)
def test_a_glob_selects(glob: str, path: str, selected: bool) -> None:
    assert selector([glob], [])(path) is selected


def test_everything_is_selected_without_globs() -> None:
    assert selector([], [])("any/thing")


def test_exclude_wins_over_include() -> None:
    selects = selector(["**/*.md"], ["drafts/**"])
    assert selects("a.md")
    assert not selects("drafts/a.md")
