"""Listing into the spool, and reading what was listed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from rag_indexer.indexing.reading import Document, Reader, take_listing
from rag_indexer.indexing.spool import Spool
from rag_indexer.sources.port import Entry, GoneError


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


class _Files:
    """A `Source` of files in memory."""

    name = "s"

    def __init__(self, **files: bytes) -> None:
        self.files = {name.replace("_", "."): content for name, content in files.items()}

    async def entries(self) -> AsyncIterator[Entry]:
        for path, content in self.files.items():
            yield Entry(path, str(len(content)), size=len(content))

    async def read(self, entry: Entry) -> bytes:
        if entry.file not in self.files:
            raise GoneError("it is gone since it was listed")
        return self.files[entry.file]

    async def close(self) -> None:
        pass


async def _read(source: _Files, spool: Spool) -> dict[str, Document]:
    await take_listing(source, spool, lambda _: True, now=0)
    spool.plan_changes("one", "s", "r", 0)
    reader = Reader(source)
    return {document: await reader.read(document, entry) for document, entry, _ in spool.changes("s")}


def _texts(found: Mapping[str, Document]) -> dict[str, str | None]:
    return {name: document.parsed and document.parsed.text for name, document in found.items()}


async def test_lines_are_read_whatever_their_ids_hold(spool: Spool) -> None:
    found = await _read(_Files(faq_jsonl=b'{"id": "plain", "text": "one"}\n{"id": "https://x#part", "text": "two"}'), spool)
    assert _texts(found) == {"s/faq.jsonl#plain": "one", "s/faq.jsonl#https://x#part": "two"}


async def test_what_breaks_a_parser_is_a_reason_and_not_an_end(spool: Spool) -> None:
    found = await _read(_Files(a_md=b"---\ndate: 2024-31-12\n---\ntext", b_md=b"text"), spool)
    assert found["s/a.md"].reason == "cannot be parsed: ValueError: month must be in 1..12"
    assert found["s/b.md"].parsed is not None


async def test_a_line_with_too_long_an_id_costs_only_itself(spool: Spool) -> None:
    lines = [f'{{"id": "{identifier}", "text": "one"}}' for identifier in ("\u4e00" * 400, "short")]
    found = await _read(_Files(faq_jsonl="\n".join(lines).encode()), spool)
    assert found["s/faq.jsonl#line-1"].reason.startswith("line 1: document id of 1212 bytes, allowed: at most 1024")
    assert found["s/faq.jsonl#short"].parsed is not None


async def test_a_file_is_parsed_to_its_last_byte(spool: Spool) -> None:
    text = "one\n"
    found = await _read(
        _Files(big_txt=b"\xfe\xff" + text.encode("utf-16-be"), little_txt=b"\xff\xfe" + "\u0a05".encode("utf-16-le")), spool
    )
    assert _texts(found) == {"s/big.txt": text, "s/little.txt": "\u0a05"}


async def test_lines_behind_a_byte_order_mark_are_documents(spool: Spool) -> None:
    found = await _read(_Files(faq_jsonl=b'\xef\xbb\xbf{"id": 1, "text": "one"}\r\n{"id": 2, "text": "two"}\r\n'), spool)
    assert _texts(found) == {"s/faq.jsonl#1": "one", "s/faq.jsonl#2": "two"}


async def test_lines_are_read_where_their_file_is_now(spool: Spool) -> None:
    class Moved(_Files):
        place = "s3://old"

        async def entries(self) -> AsyncIterator[Entry]:
            async for entry in super().entries():
                yield replace(entry, uri=f"{self.place}/{entry.path}")

    source = Moved(faq_jsonl=b'{"id": 1, "text": "one"}')
    for place in ("s3://old", "s3://new"):
        source.place = place
        found = await _read(source, spool)
        assert [document.entry.uri for document in found.values()] == [f"{place}/faq.jsonl"]
