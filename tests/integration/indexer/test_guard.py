"""What must not empty an index: an emptied bucket, a wrong prefix, a listing that fails half-way, an unmounted directory, HTTP 500."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from obstore.store import S3Store

from doubles.indexing import SOURCE, Corpus, Killer, Rig, differences, text_of
from doubles.s3 import BUCKET, S3Double
from rag_indexer.errors import SourceError
from rag_indexer.sources import s3
from rag_indexer.sources.directory import DirectorySource
from rag_indexer.sources.s3 import S3Source
from rag_runtime.contracts.index import S3Source as Location

DOCUMENTS = {f"{number:02d}.txt": text_of(f"document {number}", 2) for number in range(12)}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same store with retries that are over soon."""

    def open_store(location: Location, secret: dict[str, str]) -> S3Store:
        from datetime import timedelta

        backoff = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}
        retry = {"max_retries": 2, "retry_timeout": timedelta(seconds=5), "backoff": backoff}
        return S3Store(
            location.bucket,
            endpoint=location.endpoint,
            region="us-east-1",
            skip_signature=True,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
            retry_config=retry,  # type: ignore[arg-type]
        )

    monkeypatch.setattr(s3, "open_store", open_store)


def bucket(server: S3Double, prefix: str = "handbook/") -> S3Source:
    return S3Source(SOURCE, Location(bucket=BUCKET, prefix=prefix, endpoint=server.url), {}, max_bytes=1_000_000)


def objects() -> dict[str, bytes]:
    return {f"handbook/{path}": text.encode() for path, text in DOCUMENTS.items()}


async def test_a_bucket_is_indexed_page_by_page(lite: Rig) -> None:
    async with S3Double({**objects(), "other/x.txt": b"not ours"}) as server:
        outcome = await lite.run(bucket(server))
        assert outcome.applied
        assert differences(lite.store, DOCUMENTS) == []
        server.gets.clear()
        lite.double.texts.clear()
        await lite.run(bucket(server))
        assert (server.gets, lite.double.texts) == ([], []), "a second sync fetches and embeds nothing"


async def test_a_file_of_many_documents_is_fetched_twice_at_most(lite: Rig) -> None:
    lines = b"\n".join(b'{"id": %d, "text": "Answer number %d."}' % (number, number) for number in range(40))
    async with S3Double({"handbook/faq.jsonl": lines}) as server:
        outcome = await lite.run(bucket(server))
        assert outcome.listed.documents == 40
        assert lite.store.count_chunks() == 40
        assert len(server.gets) == 2, "once to list its lines, once to read them"
        server.objects["handbook/faq.jsonl/"] = b""
        await lite.run(bucket(server))
        assert lite.store.count_chunks() == 40, "a folder's marker does not stand for the file of its name"


async def test_markers_of_folders_are_no_changes_for_ever_and_no_failures(lite: Rig) -> None:
    documents = {"a/b.md": "Text of b.", "reports": "A text whose name is a folder's, too."}
    markers = {f"handbook/{path}": b"" for path in ("", "a/", "nothing-below/", "reports/")}
    async with S3Double({f"handbook/{path}": text.encode() for path, text in documents.items()} | markers, page=2) as server:
        assert (await lite.run(bucket(server))).applied
        rows = {row.document: row.state for page in lite.store.scan_ledger() for row in page}
        assert rows == {f"{SOURCE}/a/b.md": "done", f"{SOURCE}/reports": "done", f"{SOURCE}/nothing-below": "empty"}
        assert differences(lite.store, documents) == [f"ledger: {SOURCE}/nothing-below is empty"]
        server.gets.clear()
        counting = Killer(lite.store)
        await lite.run(bucket(server), counting)
        assert (server.gets, counting.writes) == ([], [])


async def test_objects_whose_key_ends_in_a_slash_fail_alone(lite: Rig) -> None:
    odd = {"handbook/reports/": b"A text.", "handbook/reports/a.txt": b"Below it.", "handbook/faq.jsonl/": b'{"id": 1, "text": "Yes."}'}
    async with S3Double(objects() | odd) as server:
        assert (await lite.run(bucket(server))).applied
        rows = {row.document: row for page in lite.store.scan_ledger() for row in page if row.state != "done"}
    assert rows.keys() == {f"{SOURCE}/reports", f"{SOURCE}/faq.jsonl"}
    for row in rows.values():
        assert (row.state, row.reason) == ("failed", "its key ends in a slash, and no such object can be read: give it another key")


@pytest.mark.parametrize("how", ["emptied", "wrong prefix"])
async def test_a_bucket_that_suddenly_lists_nothing_deletes_nothing(lite: Rig, how: str) -> None:
    async with S3Double(objects()) as server:
        await lite.run(bucket(server))
        if how == "emptied":
            server.objects.clear()
        outcome = await lite.run(bucket(server, "handbook/" if how == "emptied" else "handbok/"))
        assert not outcome.applied
        assert str(outcome.held) == "the listing lacks 12 of 12 documents: nothing is deleted until it is approved"
        assert differences(lite.store, DOCUMENTS) == []


@pytest.mark.parametrize("fault", ["half", "error", "denied"])
async def test_a_listing_that_fails_deletes_nothing_and_says_why(lite: Rig, fault: str) -> None:
    async with S3Double(objects()) as server:
        await lite.run(bucket(server))
        server.fault = fault
        with pytest.raises(SourceError, match=rf"source {SOURCE}: failed to list bucket {BUCKET}: .*"):
            await lite.run(bucket(server))
        assert differences(lite.store, DOCUMENTS) == []


@pytest.mark.parametrize("key", ["handbook/a//b.txt", "handbook/./b.txt"])
async def test_a_key_that_cannot_be_listed_is_named(key: str) -> None:
    async with S3Double(objects() | {key: b"text"}) as server:
        with pytest.raises(SourceError) as failed:
            _ = [entry async for entry in bucket(server).entries()]
    assert f'"{key}"' in str(failed.value)
    assert "rename that object or choose a prefix without it" in str(failed.value)


async def test_documents_that_cannot_be_read_fail_alone_and_keep_their_chunks(lite: Rig) -> None:
    async with S3Double(objects()) as server:
        await lite.run(bucket(server))
        server.objects["handbook/00.txt"] = b"a new text that nobody can fetch"
        server.fault = "unreadable"
        outcome = await lite.run(bucket(server))
        assert outcome.applied
        row = lite.store.ledger_of([f"{SOURCE}/00.txt"])[f"{SOURCE}/00.txt"]
        assert row.state == "failed"
        assert "failed to read" in row.reason
        assert row.chunk_count == len(lite.store.chunks_of([f"{SOURCE}/00.txt"])) > 0
        assert differences(lite.store, DOCUMENTS) == ["ledger: docs/00.txt is failed"]
        server.fault = None
        server.objects["handbook/00.txt"] = text_of("document 0", 2).encode() + b" "
        await lite.run(bucket(server))
        assert lite.store.ledger_of([f"{SOURCE}/00.txt"])[f"{SOURCE}/00.txt"].state == "done"


async def test_a_directory_that_is_gone_or_unmounted_deletes_nothing(lite: Rig, corpus: Corpus, tmp_path: Path) -> None:
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    shutil.rmtree(corpus.root)
    with pytest.raises(SourceError, match="No such file or directory"):
        await lite.run(lite.source(corpus))
    corpus.root.mkdir()  # the mount point without its volume
    outcome = await lite.run(lite.source(corpus))
    assert outcome.held is not None
    assert differences(lite.store, DOCUMENTS) == []


async def test_deletions_within_the_share_are_made(lite: Rig, corpus: Corpus) -> None:
    lite.max_delete_fraction = 0.1
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    fewer = {path: text for path, text in DOCUMENTS.items() if path != "03.txt"}
    corpus.become(fewer)
    outcome = await lite.run(lite.source(corpus))
    assert outcome.applied
    assert differences(lite.store, fewer) == []


async def test_held_deletions_are_made_once_they_are_approved(lite: Rig, corpus: Corpus) -> None:
    lite.max_delete_fraction, lite.approval = 0.1, "index/old"
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    fewer = dict(list(DOCUMENTS.items())[:6])
    corpus.become(fewer)
    assert (await lite.run(lite.source(corpus))).held is not None, "an approval given before the hold does not count"
    lite.approval = "index/new"
    outcome = await lite.run(lite.source(corpus))
    assert outcome.applied
    assert differences(lite.store, fewer) == []
    corpus.become({})
    assert (await lite.run(lite.source(corpus))).held is not None, "an approval counts once"


async def test_an_approval_does_not_cover_what_went_missing_after_it_was_asked_for(lite: Rig, corpus: Corpus) -> None:
    lite.max_delete_fraction = 0.1
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    corpus.become(dict(list(DOCUMENTS.items())[:9]))
    assert (await lite.run(lite.source(corpus))).held is not None
    lite.approval = "index/yes"
    corpus.become({})
    outcome = await lite.run(lite.source(corpus))
    assert outcome.held is not None
    assert outcome.held.documents == 12
    assert differences(lite.store, DOCUMENTS) == []


async def test_changes_are_still_indexed_while_deletions_are_held(lite: Rig, corpus: Corpus) -> None:
    lite.max_delete_fraction = 0.1
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    changed = {"00.txt": text_of("document 0", 2, edition=2), "new.txt": text_of("new", 1)}
    corpus.become(changed)
    outcome = await lite.run(lite.source(corpus))
    assert outcome.held is not None
    assert differences(lite.store, {**DOCUMENTS, **changed}) == []


async def test_an_embedder_that_is_down_does_not_stop_deletions(lite: Rig, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    from rag_indexer.errors import EmbedderError
    from rag_indexer.indexing import embedding

    monkeypatch.setattr(embedding, "ATTEMPTS", 1)
    corpus.become(DOCUMENTS)
    await lite.run(lite.source(corpus))
    await lite.double.stop()
    corpus.become({path: text for path, text in DOCUMENTS.items() if path != "05.txt"} | {"new.txt": "something new"})
    with pytest.raises(EmbedderError, match="does not answer"):
        await lite.run(lite.source(corpus))
    assert lite.store.chunks_of([f"{SOURCE}/05.txt"]) == []


def test_a_link_that_leads_out_of_the_volume_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the pod's own")
    root = tmp_path / "volume"
    root.mkdir()
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "fine.txt").write_text("fine")
    assert [entry.path for entry in DirectorySource("s", root, max_bytes=10)._listed()] == ["fine.txt"]
