"""Markdown as text: headings keep their marks (the chunker cuts there), links and images their words, code its lines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

from rag_indexer.errors import DocumentError
from rag_indexer.parsing.documents import Parsed, decoded

_CODE = ("fence", "code_block")
_URI = ("url", "uri")


def parse_markdown(content: bytes) -> Parsed:
    """Parse a Markdown file with optional YAML front matter. The title is the front matter's, else the first heading."""
    tokens = _parser().parse(decoded(content))
    fields = _front_matter(tokens)
    blocks = list(_blocks(tokens))
    title = fields.get("title")
    heading = next((text.lstrip("# ") for text in blocks if text.startswith("#")), "")
    # Only a string is a link: YAML can make other values that are larger written out than any memory.
    uri = next((value for name in _URI if isinstance(value := fields.get(name), str) and value), "")
    return Parsed("\n\n".join(blocks), title if isinstance(title, str) else heading, uri, fields)


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable("table").use(front_matter_plugin)


def _front_matter(tokens: list[Token]) -> dict[str, Any]:
    found = next((token.content for token in tokens if token.type == "front_matter"), None)
    if found is None:
        return {}
    try:
        fields = yaml.safe_load(found)
    except yaml.YAMLError as error:
        raise DocumentError(f"front matter is not YAML: {str(error).splitlines()[0]}") from error
    return fields if isinstance(fields, dict) else {}


def _blocks(tokens: list[Token]) -> Iterator[str]:
    prefix = ""
    for token in tokens:
        if token.type == "heading_open":
            prefix = "#" * int(token.tag[1:]) + " "
        elif token.type == "list_item_open":
            prefix = "- "
        elif token.type == "inline":
            if text := _words(token).strip():
                yield prefix + text
            prefix = ""
        elif token.type in _CODE and token.content.strip():
            yield token.content.rstrip("\n")


def _words(token: Token) -> str:
    words = []
    for child in token.children or ():
        if child.type in ("softbreak", "hardbreak"):
            words.append("\n")
        elif child.type in ("text", "code_inline", "image"):
            words.append(child.content)
    return "".join(words)
