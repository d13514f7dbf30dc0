"""HTML as text, by lxml: what a reader sees, headings marked as in Markdown, without navigation and scripts."""

from __future__ import annotations

from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from bs4.element import CData, NavigableString

from rag_indexer.errors import DocumentError
from rag_indexer.parsing.documents import Parsed

_UNSEEN = ("script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form", "svg", "iframe")
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_INNER_BLOCKS = "address article blockquote br dd div dl dt fieldset figcaption figure hr li main ol p pre section table td th tr ul"
_BLOCKS = frozenset(_INNER_BLOCKS.split()) | set(_HEADINGS)
# Deeper trees are an attack on the parser, not a document.
MAX_DEPTH = 400


def parse_html(content: bytes) -> Parsed:
    """Parse a page. The title is the title element's, else the first h1; meta elements become fields."""
    soup = BeautifulSoup(content, "lxml")
    fields = {str(meta["name"]): str(meta["content"]) for meta in soup.find_all("meta") if meta.get("name") and meta.get("content")}
    title = soup.title.get_text() if soup.title else ""
    uri = _canonical(soup)
    for unseen in soup.find_all([*_UNSEEN, "head"]):
        unseen.decompose()
    heading = soup.find("h1")
    lines = "".join(_text(soup, 0)).split("\n")
    text = "\n\n".join(line for line in (" ".join(part.split()) for part in lines) if line.strip("# "))
    return Parsed(text, title or (heading.get_text() if heading else ""), uri, fields)


def _text(element: Tag, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise DocumentError(f"elements nested deeper than {MAX_DEPTH}")
    for child in element.children:
        if isinstance(child, Tag):
            edge = "\n" if child.name in _BLOCKS else ""
            yield edge + _HEADINGS.get(child.name, "")
            yield from _text(child, depth + 1)
            yield edge
        elif isinstance(child, NavigableString) and type(child) in (NavigableString, CData):
            yield str(child).replace("\n", " ")


def _canonical(soup: BeautifulSoup) -> str:
    link = soup.find("link", rel="canonical")
    return str(link.get("href", "")) if isinstance(link, Tag) else ""
