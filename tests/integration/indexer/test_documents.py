"""One pass and its documents: embedded, rewritten with the vector they had, failed alone, or lost by the store and written again."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from doubles.indexing import SOURCE, Corpus, Killer, Rig, differences, text_of
from rag_indexer.errors import EmbedderError, IndexerError
from rag_indexer.indexing.batching import BATCH_DOCUMENTS
from rag_indexer.indexing.passing import SourcePass, load_ledger
from rag_indexer.indexing.spool import Spool
from rag_runtime.contracts.index import MetadataSpec
from rag_runtime.embeddings import InvalidAnswerError, RejectedError
from rag_runtime.milvus.port import IndexStore
from rag_runtime.milvus.rows import Chunk, LedgerRow

DOCUMENTS = {f"{number:02d}.txt": text_of(f"document {number}", 3) for number in range(6)}


def field(name: str) -> MetadataSpec:
    return MetadataSpec.model_validate({"name": name, "from": {"pathPattern": "^([0-9]+)"}})


async def test_a_second_pass_writes_and_embeds_nothing(lite: Rig, corpus: Corpus) -> None:
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    lite.double.texts.clear()
    counting = Killer(lite.store)
    await lite.run(lite.source(corpus), counting)
    assert (counting.writes, lite.double.texts) == ([], [])


async def test_documents_that_the_server_does_not_give_at_once_are_changed_and_deleted(
    lite: Rig, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlimited = MilvusClient.query

    def query(client: MilvusClient, *arguments: Any, **options: Any) -> Any:
        found = unlimited(client, *arguments, **options)
        if sum(len(row.get("text", "")) for row in found) > 400:
            raise MilvusException(65535, "query results exceed the maxOutputSize Limit 400")
        return found

    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    changed = {path: text_of(f"document {path}", 3, edition=2) for path in list(DOCUMENTS)[:3]}
    corpus.become(changed)
    with monkeypatch.context() as limited:
        limited.setattr(MilvusClient, "query", query)
        assert (await lite.run(lite.source(corpus))).applied
    assert differences(lite.store, changed) == []


async def test_a_file_that_was_only_touched_is_noted_and_not_parsed_into_writes(lite: Rig, corpus: Corpus) -> None:
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    (corpus.root / "00.txt").touch()
    counting = Killer(lite.store)
    await lite.run(lite.source(corpus), counting)
    assert counting.writes == ["put_ledger", "flush"]


async def test_a_newly_declared_field_rewrites_rows_with_the_vectors_they_have(lite: Rig, corpus: Corpus) -> None:
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    before = {chunk.key: chunk.vector for page in lite.store.scan_chunks(vectors=True) for chunk in page}
    lite.double.texts.clear()
    lite.metadata = (field("number"),)
    await lite.run(lite.source(corpus))
    assert lite.double.texts == []
    after = {chunk.key: chunk for page in lite.store.scan_chunks(vectors=True) for chunk in page}
    assert after.keys() == before.keys()
    for key, chunk in after.items():
        assert chunk.metadata == {"number": chunk.document.removeprefix(f"{SOURCE}/")[:2]}
        assert chunk.vector is not None
        assert before[key] is not None
        assert np.array_equal(chunk.vector, before[key])  # type: ignore[arg-type]


async def test_a_paragraph_put_in_front_embeds_one_text_and_moves_the_others(lite: Rig, corpus: Corpus) -> None:
    corpus.become({"a.txt": text_of("a", 4)})
    await lite.run(lite.source(corpus))
    lite.double.texts.clear()
    moved = {"a.txt": "A first paragraph that is new and stands alone, as long as a chunk is at the most so far.\n\n" + text_of("a", 4)}
    corpus.become(moved)
    counting = Killer(lite.store)
    await lite.run(lite.source(corpus), counting)
    assert "rewrite_chunks" in counting.writes
    assert 1 <= len(lite.double.texts) <= 3
    assert differences(lite.store, moved) == []


async def test_a_line_that_is_added_to_a_file_of_json_lines_is_one_new_document(lite: Rig, corpus: Corpus) -> None:
    lines = [json.dumps({"id": f"q{number}", "text": f"Answer number {number}."}) for number in range(4)]
    corpus.become({"faq.jsonl": "\n".join(lines)})
    outcome = await lite.run(lite.source(corpus))
    assert outcome.listed.documents == 4
    lite.double.texts.clear()
    corpus.become({"faq.jsonl": "\n".join([json.dumps({"id": "new", "text": "A new answer."}), *lines[1:], "not json"])})
    await lite.run(lite.source(corpus))
    assert lite.double.texts == ["A new answer."]
    states = {row.document: row.state for page in lite.store.scan_ledger() for row in page}
    name = f"{SOURCE}/faq.jsonl"
    assert states == {f"{name}#{each}": "done" for each in ("new", "q1", "q2", "q3")} | {f"{name}#line-5": "failed"}


async def test_a_document_that_cannot_be_parsed_fails_alone(lite: Rig, corpus: Corpus) -> None:
    corpus.become(DOCUMENTS)
    (corpus.root / "broken.pdf").write_bytes(b"no pdf at all")
    outcome = await lite.run(lite.source(corpus))
    assert outcome.applied
    row = lite.store.ledger_of([f"{SOURCE}/broken.pdf"])[f"{SOURCE}/broken.pdf"]
    assert (row.state, row.attempts) == ("failed", 1)
    assert "not a readable PDF" in row.reason
    await lite.run(lite.source(corpus))
    assert lite.store.ledger_of([f"{SOURCE}/broken.pdf"])[f"{SOURCE}/broken.pdf"].attempts == 1, "not tried again at once"


async def test_metadata_that_no_row_can_hold_fails_its_document_alone(lite: Rig, corpus: Corpus) -> None:
    lite.metadata = (MetadataSpec.model_validate({"name": "tags", "type": "StringList", "from": {"frontMatter": "tags"}}),)
    large = json.dumps(["x" * 1_024] * 64)
    corpus.become({**DOCUMENTS, "large.md": f"---\ntags: {large}\n---\nIt has a text."})
    assert (await lite.run(lite.source(corpus))).applied
    row = lite.store.ledger_of([f"{SOURCE}/large.md"])[f"{SOURCE}/large.md"]
    assert (row.state, "allowed: at most 60000; bytes by field: tags 65729" in row.reason) == ("failed", True), row.reason
    assert [problem for problem in differences(lite.store, DOCUMENTS) if "large.md" not in problem] == []


async def test_a_text_the_embedder_refuses_fails_its_document_alone(lite: Rig, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    from rag_runtime.embeddings import EmbeddingsClient

    whole = EmbeddingsClient.embed_documents

    async def picky(self: EmbeddingsClient, texts: Sequence[str], **options: Any) -> Any:
        if any("poison" in text for text in texts):
            raise RejectedError("HTTP 400: too long", status=400)
        return await whole(self, texts, **options)

    monkeypatch.setattr(EmbeddingsClient, "embed_documents", picky)
    corpus.become({**DOCUMENTS, "bad.txt": "This is poison for an embedder."})
    assert (await lite.run(lite.source(corpus))).applied
    assert lite.store.ledger_of([f"{SOURCE}/bad.txt"])[f"{SOURCE}/bad.txt"].state == "failed"
    assert "refuses a chunk: HTTP 400" in lite.store.ledger_of([f"{SOURCE}/bad.txt"])[f"{SOURCE}/bad.txt"].reason
    assert [problem for problem in differences(lite.store, DOCUMENTS) if "bad.txt" not in problem] == []


class Forgetful(Killer):
    """A store that acknowledges and shows a write of chunks, and has lost a row of it after the flush: `times` times."""

    def __init__(self, rig: Rig, times: int) -> None:
        super().__init__(rig.store)
        self._rig = rig
        self._times = times
        self._acknowledged: list[str] = []

    def insert_chunks(self, chunks: Sequence[Chunk]) -> None:
        self._rig.store.insert_chunks(chunks)
        self._acknowledged.append(chunks[0].key)

    def rewrite_chunks(self, chunks: Sequence[Chunk]) -> None:
        self._rig.store.rewrite_chunks(chunks)
        self._acknowledged.append(chunks[0].key)

    def flush(self) -> None:
        self._rig.store.flush()
        if self._times and self._acknowledged:
            self._times -= 1
            self._rig.store.delete_chunks([self._acknowledged.pop()])


async def test_acknowledged_writes_that_were_lost_are_written_again(lite: Rig, corpus: Corpus) -> None:
    corpus.become(DOCUMENTS)
    assert (await lite.run(lite.source(corpus), Forgetful(lite, 2))).applied
    assert differences(lite.store, DOCUMENTS) == []


async def test_rows_that_were_lost_when_only_their_metadata_changed_are_written_again(lite: Rig, corpus: Corpus) -> None:
    corpus.become(DOCUMENTS)
    assert (await lite.run(lite.source(corpus))).applied
    lite.metadata = (field("number"),)
    assert (await lite.run(lite.source(corpus), Forgetful(lite, 1))).applied
    assert differences(lite.store, DOCUMENTS) == []
    assert all("number" in chunk.metadata for page in lite.store.scan_chunks() for chunk in page)


async def test_a_store_that_always_forgets_is_reported_and_not_believed(lite: Rig, corpus: Corpus) -> None:
    corpus.become(DOCUMENTS)
    with pytest.raises(IndexerError, match="acknowledged 4 times and cannot be read"):
        await lite.run(lite.source(corpus), Forgetful(lite, 99))


class Slow(Killer):
    """A store whose inserts take a while; `done` is set when the ledger calls a document done."""

    def __init__(self, store: IndexStore, seconds: float = 0.0) -> None:
        super().__init__(store)
        self._seconds = seconds
        self.inserting = 0
        self.begun, self.done = threading.Event(), threading.Event()

    def insert_chunks(self, chunks: Sequence[Chunk]) -> None:
        self.inserting += 1
        self.begun.set()
        time.sleep(self._seconds)
        self._store.insert_chunks(chunks)
        self.inserting -= 1

    def put_ledger(self, rows: Sequence[LedgerRow]) -> None:
        self._store.put_ledger(rows)
        if any(row.state == "done" for row in rows):
            self.done.set()


def fail_after(event: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the embedder fail at the text `poison`, once `event` is set."""
    from rag_runtime.embeddings import EmbeddingsClient

    whole = EmbeddingsClient.embed_documents

    async def failing(self: EmbeddingsClient, texts: Sequence[str], **options: Any) -> Any:
        if any("poison" in text for text in texts):
            await asyncio.to_thread(event.wait)
            raise InvalidAnswerError("nonsense")
        return await whole(self, texts, **options)

    monkeypatch.setattr(EmbeddingsClient, "embed_documents", failing)


MANY = {f"{number:02d}.txt": text_of(f"document {number}", 1) for number in range(BATCH_DOCUMENTS)} | {"later.txt": "This is poison."}


async def test_a_pass_that_failed_writes_nothing_any_more(lite: Rig, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.become(MANY)
    store = Slow(lite.store, seconds=1.0)
    fail_after(store.begun, monkeypatch)
    with pytest.raises(EmbedderError):
        await lite.run(lite.source(corpus), store)
    assert (store.begun.is_set(), store.inserting) == (True, 0)


async def test_writes_that_a_failed_pass_lost_are_known_after_a_restart(lite: Rig, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.become(MANY)
    forgetful = Forgetful(lite, 1)
    store = Slow(forgetful)  # type: ignore[arg-type]
    with monkeypatch.context() as first:
        fail_after(store.done, first)
        with pytest.raises(EmbedderError):
            await lite.run(lite.source(corpus), store)  # type: ignore[arg-type]
    states = [row.state for page in lite.store.scan_ledger() for row in page]
    assert (states.count("done"), states.count("writing")) == (BATCH_DOCUMENTS - 1, 1)
    assert (await lite.run(lite.source(corpus))).applied
    assert differences(lite.store, MANY) == []


async def test_what_one_pass_could_not_read_again_the_next_one_does(lite: Rig, corpus: Corpus) -> None:
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    lost = lite.store.chunks_of([f"{SOURCE}/01.txt"])[0]
    target, spool = lite.target(), Spool(lite.work / "again.spool")
    await load_ledger(target, spool)
    spool.remember_written(target.name, [(lost.key, lost.document)])
    lite.store.delete_chunks([lost.key])
    assert (await SourcePass(lite.source(corpus), lambda _: True, [target], spool).run())[target.name].applied
    assert differences(lite.store, DOCUMENTS) == []
    await target.embedder.client.close()
    spool.close()


@pytest.mark.parametrize("fault", ["nan", "short", "garbage"])
async def test_vectors_that_cannot_be_right_are_not_written(lite: Rig, corpus: Corpus, fault: str) -> None:
    corpus.become(DOCUMENTS)
    lite.double.fault = fault
    with pytest.raises(EmbedderError, match="the embedder's answer cannot be used"):
        await lite.run(lite.source(corpus))
    assert lite.store.count_chunks() == 0
