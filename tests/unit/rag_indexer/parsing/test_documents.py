from __future__ import annotations

import io

import pytest
from pypdf import PdfWriter
from reportlab.pdfgen import canvas

from rag_indexer.errors import DocumentError
from rag_indexer.parsing import documents
from rag_indexer.parsing.documents import normalised, parse

MARKDOWN = b"""---
title: Travel policy
department: Sales
tags: [a, b]
---
# Heading one

Some *emphasised* text with a [link](https://x.example) and `code`.
Second line.

## Heading two

- first item
- second item

```python
x = 1
```

| a | b |
| - | - |
| 1 | 2 |
"""


def test_text_is_taken_as_it_is_with_one_kind_of_line_end() -> None:
    parsed = parse("a/b.txt", "\ufeffone\r\ntwo\rthree".encode())
    assert (parsed.text, parsed.title) == ("one\ntwo\nthree", "b.txt")


def test_utf_16_with_its_mark_is_read() -> None:
    assert parse("a.txt", "héllo".encode("utf-16")).text == "héllo"


def test_a_byte_order_mark_hides_nothing_behind_it() -> None:
    mark = b"\xef\xbb\xbf"
    assert parse("policy.md", mark + MARKDOWN) == parse("policy.md", MARKDOWN)
    assert parse("faq.md", mark + b"# Title\n\ntext").title == "Title"
    assert parse("faq.json", mark + b'{"text": "answer"}').text == "answer"


def test_markdown_keeps_headings_and_loses_marks() -> None:
    parsed = parse("policy.md", MARKDOWN)
    assert parsed.title == "Travel policy"
    assert parsed.fields["department"] == "Sales"
    blocks = parsed.text.split("\n\n")
    assert blocks[:3] == ["# Heading one", "Some emphasised text with a link and code.\nSecond line.", "## Heading two"]
    assert "- first item" in blocks
    assert "x = 1" in blocks
    assert "department" not in parsed.text


def test_markdown_without_front_matter_is_titled_by_its_first_heading() -> None:
    assert parse("a.md", b"text\n\n# The title\n\nmore").title == "The title"


def test_html_is_what_a_reader_sees() -> None:
    page = b"""<html><head><title>Leave &amp; absence</title><meta name="department" content="HR"><style>p{}</style>
    <link rel="canonical" href="https://x.example/leave"></head>
    <body><nav>Menu</nav><script>alert(1)</script><h1>Leave</h1><p>Take <b>thirty</b>
    days.</p><!-- a comment --><ul><li>one</li><li>two</li></ul></body></html>"""
    parsed = parse("leave.html", page)
    assert parsed.title == "Leave & absence"
    assert parsed.text == "# Leave\n\nTake thirty days.\n\none\n\ntwo"
    assert parsed.fields == {"department": "HR"}
    assert parsed.uri == "https://x.example/leave"


def pdf(*pages: str, password: str | None = None) -> bytes:
    file = io.BytesIO()
    drawing = canvas.Canvas(file, encrypt=password)
    drawing.setTitle("A report")
    for page in pages:
        if page:
            drawing.drawString(72, 720, page)
        drawing.showPage()
    drawing.save()
    return file.getvalue()


def test_a_pdf_is_read_page_by_page() -> None:
    parsed = parse("report.pdf", pdf("First page text", "", "Third page text"))
    assert parsed.text == "First page text\n\nThird page text"
    assert parsed.title == "A report"


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_an_encrypted_pdf_that_opens_without_a_password_is_read(algorithm: str) -> None:
    writer = PdfWriter(clone_from=io.BytesIO(pdf("Page text")))
    writer.encrypt("", "owner", algorithm=algorithm)
    file = io.BytesIO()
    writer.write(file)
    assert parse("report.pdf", file.getvalue()).text == "Page text"


def test_a_scan_has_no_text_and_does_not_fail() -> None:
    assert parse("scan.pdf", pdf("")).text == ""


def test_a_json_line_has_text_title_and_fields() -> None:
    parsed = parse("faq.jsonl#1", b'{"id": 1, "text": "answer", "title": "question", "url": "https://x", "n": 3}', is_line=True)
    assert (parsed.text, parsed.title, parsed.uri, parsed.fields["n"]) == ("answer", "question", "https://x", 3)


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("a.txt", b"\xff\xfa\x00", "not UTF-8 text: byte 0xff at position 0"),
        ("a.bin", b"ELF\x00\x00", "contains NUL bytes"),
        ("a.pdf", b"no pdf at all", "not a readable PDF"),
        ("a.pdf", pdf("secret", password="x"), "needs a password"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[1]", "a JSON list, expected an object"),
        ("a.json", b'{"id": 1}', "no member text, content or body"),
        ("a.md", b"---\n[broken: yaml\n---\ntext", "front matter is not YAML"),
        ("a.html", b"<div>" * 1000 + b"deep", "nested deeper than 400"),
        ("a.md", b"---\ndate: 2024-31-12\n---\ntext", "cannot be parsed: ValueError: month must be in 1..12"),
        ("a.md", b"---\nn: 0b_\n---\ntext", "cannot be parsed: ValueError: invalid literal"),
        pytest.param("a.md", b"---\nn: " + b"[" * 3_000 + b"\n---\ntext", "cannot be parsed: RecursionError", id="deep"),
        pytest.param("a.md", b"---\nn: 1" + b"0" * 5_000 + b"\n---\ntext", "cannot be parsed: ValueError: Exceeds", id="long number"),
    ],
)
def test_what_cannot_be_parsed_says_why(path: str, content: bytes, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        parse(path, content)


def test_half_a_character_is_replaced_and_two_halves_are_joined() -> None:
    parsed = parse("a.md", b'---\ntitle: "a \\ud83d b"\nuri: "https://x/\\ud83d\\ude00"\n---\ntext')
    assert (parsed.title, parsed.uri) == ("a \ufffd b", "https://x/\U0001f600")
    assert normalised("one \udc00 two") == "one \ufffd two"


def test_a_link_in_front_matter_is_a_string() -> None:
    levels = [b"a0: &a0 [x, x, x, x, x, x, x, x]", *(b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 8)) for n in range(1, 20))]
    parsed = parse("a.md", b"---\n" + b"\n".join([*levels, b"uri: *a19", b"---", b"text"]))
    assert (parsed.text, parsed.uri) == ("text", "")
    assert parse("a.md", b"---\nurl: 7\nuri: https://x\n---\ntext").uri == "https://x"


def test_a_machine_without_memory_is_no_fault_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(content: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(documents, "parse_text", exhausted)
    with pytest.raises(MemoryError):
        parse("a.txt", b"text")
