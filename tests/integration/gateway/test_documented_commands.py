"""The commands and the table of docs/gateway.md that run here, as they stand there but for addresses and the model."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from documented import register
from documented.pages import pages, paragraphs
from documented.programs import checkout, typed
from documented.shell import Shell
from doubles.corpus import Indexed
from doubles.embedder import EmbedderDouble

pytestmark = pytest.mark.asyncio(loop_scope="session")
SERVER, QUESTION = register.RUN_BY[register.GATEWAY]


def table(index: Indexed, embedder: EmbedderDouble) -> str:
    """The table of the page, with the index and the embedder that are here."""
    text = next(part.text for part in paragraphs(pages()["docs/gateway.md"]) if part.language == "json")
    collection = f'"collection": "{index.collection}"'
    for word, other in (
        ("http://localhost:8082", embedder.url),
        ("minilm", embedder.model),
        ("384", str(index.dimensions)),
        ("localhost:19530", index.address),
        ('"collection": "handbook"', collection),
    ):
        assert word in text
        text = text.replace(word, other)
    return text


async def test_the_gateway_of_the_page_answers_as_the_page_asks(
    indexes: tuple[Indexed, Indexed], small: EmbedderDouble, tmp_path: Path
) -> None:
    shell = Shell(register.GATEWAY, checkout(tmp_path), {"RAG_API_KEYS_DIR": str(tmp_path / "no-keys")})
    (tmp_path / "table.json").write_text(table(indexes[0], small))
    async with typed(shell, SERVER) as ports:
        said = await asyncio.to_thread(shell.run, QUESTION, {"localhost:8080": f"127.0.0.1:{ports['public']}"})
    answer = json.loads(said)
    assert (len(answer["results"]), answer["revision"], answer["epoch"]) == (5, "first", 1)
    assert len({one["document"] for one in answer["results"]}) == 5
    shell.finish()
