from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_indexer.indexing.spool import Spool, is_mine
from rag_indexer.sources.port import Entry
from rag_runtime.milvus.rows import LedgerRow


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


def listed(spool: Spool, source: str, *paths: str, version: str = "v1") -> None:
    spool.add_listed(source, [(f"{source}/{path}", Entry(path, version)) for path in paths])


def ledger(spool: Spool, target: str, *documents: str, **fields: object) -> None:
    known = {"version": "v1", "state": "done", "recipe": "r", **fields}
    spool.put_ledger(target, [LedgerRow(document, **known) for document in documents])  # type: ignore[arg-type]


def planned(spool: Spool, target: str, *, now: float = 1_000.0) -> list[str]:
    spool.clear_plan()
    spool.plan_changes(target, "s", "r", now)
    return [document for document, _, targets in spool.changes("s") if target in targets]


def test_what_is_settled_at_the_listed_version_is_left_alone(spool: Spool) -> None:
    listed(spool, "s", "a", "b")
    ledger(spool, "one", "s/a")
    ledger(spool, "one", "s/b", state="empty")
    assert planned(spool, "one") == []


@pytest.mark.parametrize(
    "row",
    [
        {"version": "v0"},
        {"recipe": "old"},
        {"state": "writing"},
        {"state": "deleting"},
        {"version": "v0", "state": "failed", "updated": 999, "attempts": 9},
    ],
    ids=["another version", "other metadata fields", "a crash while writing", "a crash while deleting", "failed at another version"],
)
def test_what_is_not_is_put_down(spool: Spool, row: dict[str, object]) -> None:
    listed(spool, "s", "a")
    ledger(spool, "one", "s/a", **row)
    assert planned(spool, "one") == ["s/a"]


def test_a_new_document_is_put_down(spool: Spool) -> None:
    listed(spool, "s", "a")
    assert planned(spool, "one") == ["s/a"]


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30), (2, 60), (5, 480), (30, 3_600)])
def test_a_failed_document_is_tried_again_later_and_later(spool: Spool, attempts: int, seconds: int) -> None:
    listed(spool, "s", "a")
    ledger(spool, "one", "s/a", state="failed", attempts=attempts, updated=1_000)
    assert planned(spool, "one", now=1_000 + seconds - 1) == []
    assert planned(spool, "one", now=1_000 + seconds) == ["s/a"]


def test_each_document_comes_once_with_every_index_that_wants_it(spool: Spool) -> None:
    listed(spool, "s", *(f"{number:03d}" for number in range(700)))
    listed(spool, "other", "x")
    ledger(spool, "two", "s/000")
    for target in ("one", "two"):
        spool.plan_changes(target, "s", "r", 0)
    changes = list(spool.changes("s"))
    assert [document for document, _, _ in changes] == [f"s/{number:03d}" for number in range(700)]
    assert changes[0][2] == {"one"}
    assert changes[1][2] == {"one", "two"}


def test_a_ledger_that_cannot_be_read_whole_leaves_what_was_known(spool: Spool) -> None:
    def broken() -> Iterator[list[LedgerRow]]:
        yield [LedgerRow("s/new", "v1", "done")]
        raise ConnectionError

    ledger(spool, "one", "s/a", "s/b")
    ledger(spool, "two", "s/c")
    with pytest.raises(ConnectionError):
        spool.replace_ledger("one", broken())
    assert spool.ledger_of("one", ["s/a", "s/b", "s/new"]).keys() == {"s/a", "s/b"}
    spool.replace_ledger("one", [[LedgerRow("s/a", "v2", "done")], [LedgerRow("t/d", "v1", "done", recipe="r")]])
    assert spool.tally("one")[1] == 2
    assert spool.ledger_of("one", ["s/a", "s/new", "t/d"])["t/d"] == LedgerRow("t/d", "v1", "done", recipe="r")
    assert spool.sources_of("one") == {"s", "t"}
    assert spool.tally("two")[1] == 1, "another index's ledger is its own"


def test_documents_come_in_the_order_of_their_bytes(spool: Spool) -> None:
    listed(spool, "s", "b", "a/z", "a-", "Z", "é", "a")
    assert planned(spool, "one") == sorted((f"s/{path}" for path in ("b", "a/z", "a-", "Z", "é", "a")), key=str.encode)


def test_what_a_source_lacks_is_gone_and_other_sources_are_not(spool: Spool) -> None:
    listed(spool, "s", "a")
    ledger(spool, "one", "s/a", "s/b", "other/c", "s2/d")
    assert spool.gone("one", "s") == ["s/b"]
    assert spool.sources_of("one") == {"s", "other", "s2"}


def test_two_paths_with_one_id_are_a_problem_of_that_document(spool: Spool) -> None:
    spool.add_listed("s", [("s/a", Entry("a", "v1")), ("s/a", Entry("a\u0301", "v2"))])
    ((_, entry, _),) = _changes(spool)
    assert entry.problem.startswith("two paths have this id: a and ")


@pytest.mark.parametrize("sizes", [(0, 7), (7, 0), (7, 9)])
def test_of_a_path_that_is_listed_twice_the_first_with_content_is_the_document(spool: Spool, sizes: tuple[int, int]) -> None:
    spool.add_listed("s", [("s/a", Entry("a", f"v{size}", size=size)) for size in sizes])
    ((_, entry, _),) = _changes(spool)
    assert (entry.version, entry.size, entry.problem) == ("v7", 7, "")


def _changes(spool: Spool) -> list[tuple[str, Entry, frozenset[str]]]:
    spool.plan_changes("one", "s", "r", 0)
    return list(spool.changes("s"))


def test_a_tally_counts_failed_documents_with_the_chunks_they_kept(spool: Spool) -> None:
    ledger(spool, "one", "s/a", "s/b", chunk_count=2)
    ledger(spool, "one", "s/c", state="failed", chunk_count=3)
    ledger(spool, "one", "s/d", state="failed")
    ledger(spool, "one", "t/e", chunk_count=1)
    assert spool.tally("one") == (4, 5, 8, 2)
    assert spool.tally("one", "t") == (1, 1, 1, 0)
    assert [row.document for row in spool.failed("one", 1)] == ["s/c"]


def test_lines_of_a_file_are_remembered_for_its_version(spool: Spool) -> None:
    file = Entry("faq.jsonl", "v1")
    lines = [file.inside("faq.jsonl#1", "h1", 0, 5), file.inside("faq.jsonl#2", "h2", 6, 5)]
    assert spool.container("s", file) is None
    spool.remember_container("s", file, lines)
    assert spool.container("s", file) == lines
    assert spool.container("s", Entry("faq.jsonl", "v2")) is None
    spool.remember_container("s", Entry("faq.jsonl", "v2"), lines[:1])
    assert spool.container("s", Entry("faq.jsonl", "v2")) == lines[:1]


def test_a_line_keeps_the_file_it_is_in_whatever_its_id_is(spool: Spool) -> None:
    line = Entry("a#b.jsonl", "v1").inside("a#b.jsonl#c#d", "h1", 0, 5)
    spool.remember_container("s", Entry("a#b.jsonl", "v1"), [line])
    spool.add_listed("s", [("s/a#b.jsonl#c#d", line)])
    assert [entry.file for entry in spool.container("s", Entry("a#b.jsonl", "v1")) or ()] == ["a#b.jsonl"]
    assert [entry.file for _, entry, _ in _changes(spool)] == ["a#b.jsonl"]


def test_shares_of_buckets_meet_and_do_not_overlap() -> None:
    documents = [f"s/{number}" for number in range(300)]
    halves = [{document for document in documents if is_mine(document, *span)} for span in ((0, 341), (341, 682), (682, 1_024))]
    assert set.union(*halves) == set(documents)
    assert sum(map(len, halves)) == len(documents)
