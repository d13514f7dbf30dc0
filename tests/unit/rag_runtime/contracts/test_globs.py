from __future__ import annotations

import pytest

from rag_runtime.contracts.globs import GlobError, compiled


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
def test_a_glob_means(glob: str, path: str, selected: bool) -> None:
    assert bool(compiled(glob).fullmatch(path)) is selected


@pytest.mark.parametrize(("text", "why"), [("[z-a]*.md", "bad character range z-a"), ("[!].md", "unterminated character set")])
def test_what_is_no_glob_is_told_why(text: str, why: str) -> None:
    with pytest.raises(GlobError, match=why):
        compiled(text)
