"""What a syncer says of the sources of an index whose spec changes while it runs."""

from __future__ import annotations

from typing import Any

from doubles.ragindex import manifest
from rag_indexer.indexing.deleting import Held
from rag_indexer.indexing.passing import Outcome
from rag_indexer.indexing.reading import Listed
from rag_indexer.reporting import NoSink
from rag_indexer.work.freshness import SyncReport
from rag_runtime.contracts.index import Index
from rag_runtime.contracts.index_status import IndexStatus


class NoSpool:
    """A spool without a document."""

    def tally(self, *_: str) -> tuple[int, int, int, int]:
        return 0, 0, 0, 0


class Anything:
    """A target with a name."""

    name = "one"


def index(*sources: str) -> Index:
    return Index.model_validate(
        manifest("milvus:1", "http://embedder", sources=[{"name": name, "configMap": {"name": name}} for name in sources])
    )


def passed(report: SyncReport, source: str, started: float) -> None:
    report.passed(source, Outcome(Listed(f"{source}-1", started, 0)), Anything(), NoSpool())  # type: ignore[arg-type]
    report._publish()


def said(report: SyncReport) -> dict[str, Any]:
    found: dict[str, Any] = report.reporter._wanted["sync"]
    return found


def test_a_source_that_was_renamed_is_reported_by_its_new_name_and_pins_nothing() -> None:
    report = SyncReport.of(NoSink(), index("old", "other"))
    passed(report, "old", 1_000)
    passed(report, "other", 5_000)
    assert said(report)["listing"]["id"] == "old-1"
    report.follow(index("new", "other"))
    passed(report, "other", 6_000)
    assert "listing" not in said(report), "the new source was not listed yet"
    passed(report, "new", 7_000)
    assert said(report)["listing"]["id"] == "other-1"
    assert [source["name"] for source in said(report)["sources"]] == ["new", "other"]


def test_nothing_waits_for_a_source_that_is_gone() -> None:
    report = SyncReport.of(NoSink(), index("docs", "lost"))
    report.failed("lost", "it does not exist")
    passed(report, "docs", 1_000)
    assert "oldestPending" in said(report)
    report.follow(index("docs"))
    passed(report, "docs", 2_000)
    assert "oldestPending" not in said(report)


def test_a_source_that_comes_back_is_as_fresh_as_its_next_listing() -> None:
    report = SyncReport.of(NoSink(), index("docs", "faq"))
    passed(report, "faq", 1_000)
    report.follow(index("docs"))
    report.follow(index("docs", "faq"))
    passed(report, "docs", 2_000)
    assert "listing" not in said(report)


def test_a_syncer_that_is_started_anew_goes_on_with_what_was_held_and_waits() -> None:
    before = SyncReport.of(NoSink(), index("docs", "my-faq"))
    held = Outcome(Listed("my-faq-1000-00ff00ff", 1_000, 5), applied=False, held=Held("my-faq-1000-00ff00ff", 3, 5, None))
    before.passed("my-faq", held, Anything(), NoSpool())  # type: ignore[arg-type]
    passed(before, "docs", 1_000)
    known = index("docs", "my-faq").model_copy(update={"status": IndexStatus.model_validate({"sync": said(before)})})

    after = SyncReport.of(NoSink(), known)
    passed(after, "docs", 2_000)
    assert said(after)["deletionHeld"] == said(before)["deletionHeld"]
    assert said(after)["oldestPending"] == said(before)["oldestPending"]
    passed(after, "my-faq", 3_000)
    assert not {"deletionHeld", "oldestPending"} & said(after).keys()


def test_nothing_is_held_for_ever_of_a_source_that_is_gone() -> None:
    status = {"sync": {"sources": [{"name": "docs"}], "deletionHeld": {"listing": "gone-1-ff", "documents": 1, "of": 2}}}
    report = SyncReport.of(NoSink(), index("docs").model_copy(update={"status": IndexStatus.model_validate(status)}))
    passed(report, "docs", 1_000)
    assert "deletionHeld" not in said(report)


def test_what_a_build_found_the_server_to_ignore_is_not_the_syncers_to_say() -> None:
    status = {"observed": {"loaded": True, "ignored": ["shards"]}}
    report = SyncReport.of(NoSink(), index("docs").model_copy(update={"status": IndexStatus.model_validate(status)}))
    assert report.reporter._wanted["observed"].get("ignored", []) == []
