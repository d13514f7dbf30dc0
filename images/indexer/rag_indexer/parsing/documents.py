"""What a parser makes of a document, and which parser a path gets.

`PROTOCOL` is recorded in every index. It is raised when the same bytes give another text; indexes made before are then reported as
outdated, and stay as they are until somebody asks for a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rag_indexer.errors import DocumentError, only_this_document

PROTOCOL = "1"
MAX_TITLE = 300


@dataclass(frozen=True, slots=True)
class Parsed:
    """The text that is cut into chunks, and what else the document says of itself. Spans of chunks count characters of `text`."""

    text: str
    title: str = ""
    uri: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


Parser = Callable[[bytes], Parsed]


def parse(path: str, content: bytes, *, is_line: bool = False) -> Parsed:
    """Parse by the suffix of `path`; `is_line`: a line of JSON Lines. Raises `DocumentError` with the reason."""
    parser = _json_line() if is_line else _parser(path)
    with only_this_document("parsed"):
        parsed = parser(content)
        title = " ".join(whole(parsed.title).split())[:MAX_TITLE] or path.rpartition("/")[2]
        return Parsed(normalised(parsed.text), title, whole(parsed.uri), parsed.fields)


def whole(text: str) -> str:
    """`text` without halves of characters, which nothing can store: two that belong together are joined, others replaced by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def normalised(text: str) -> str:
    """Line ends as one character, no NULs, no byte order mark, whole characters: what spans count."""
    return whole(text).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def _json_line() -> Parser:
    from rag_indexer.parsing.jsonobject import parse_json

    return parse_json


def _parser(path: str) -> Parser:
    suffix = path.rpartition("/")[2].rpartition(".")[2].lower()
    if suffix in ("md", "markdown", "mdx"):
        from rag_indexer.parsing.markdown import parse_markdown

        return parse_markdown
    if suffix in ("html", "htm", "xhtml"):
        from rag_indexer.parsing.html import parse_html

        return parse_html
    if suffix == "pdf":
        from rag_indexer.parsing.pdf import parse_pdf

        return parse_pdf
    return _json_line() if suffix == "json" else parse_text


def parse_text(content: bytes) -> Parsed:
    """Plain text. Its first line is no title: nothing says that it is one."""
    return Parsed(decoded(content))


def decoded(content: bytes) -> str:
    """The text of bytes: UTF-8, or UTF-16 with its mark. Raises `DocumentError` for anything else; guessing would index nonsense."""
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"not UTF-8 text: byte {content[error.start]:#04x} at position {error.start}") from error
    if "\x00" in text[:4096]:
        raise DocumentError("not text: it contains NUL bytes")
    return text
