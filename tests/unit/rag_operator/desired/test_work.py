from __future__ import annotations

from typing import Any

from doubles.manifests import revision_of, spec_of
from rag_operator.api.scalars import Timestamp
from rag_operator.api.v1alpha1.index import IndexIdentity
from rag_operator.api.v1alpha1.index_status import Work
from rag_operator.desired.work import Donor, next_work
from rag_operator.rollout.identity import declared_index


def identity(reindex: str = "", **change: Any) -> IndexIdentity:
    return declared_index(spec_of(**change), reindex)


def donor(found: IndexIdentity, name: str = "old") -> Donor:
    return Donor(name, "rag_" + name.replace("-", "_"), found)


def test_a_new_index_is_built_from_the_sources() -> None:
    assert next_work(identity(), None, built=False) == Work(mode="Build", attempt=1)


def test_a_built_index_is_kept_up_to_date() -> None:
    assert next_work(identity(), Work(mode="Build", attempt=1), built=True).mode == "Sync"


def test_who_goes_cold_is_asked_anew_and_who_comes_back_is_not_taken_at_an_old_word() -> None:
    until = Timestamp("2030-01-01T00:00:00Z")
    cold = next_work(identity(), Work(mode="Sync", attempt=1), built=True, cold_until=until)
    assert cold == Work(mode="Sync", attempt=2, cold_until=until)
    assert next_work(identity(), cold, built=True, cold_until=until) == cold
    assert next_work(identity(), cold, built=True) == Work(mode="Sync", attempt=2)


def test_another_shard_count_copies_and_embeds_nothing() -> None:
    wanted = identity(vectorStore={"milvus": {"shards": 2}})
    found = next_work(wanted, None, built=False, donors=[donor(identity())])
    assert found.mode == "Copy"
    assert found.from_ is not None
    assert (found.from_.index, found.from_.collection, found.from_.dimensions) == ("old", "rag_old", 384)


def test_fewer_dimensions_of_the_same_model_are_cut_from_the_longer_vectors() -> None:
    found = next_work(identity(embedder={"local": {"dimensions": 32}}), None, built=False, donors=[donor(identity())])
    assert found.mode == "Copy"
    assert found.from_ is not None
    assert found.from_.dimensions == 384


def test_more_dimensions_are_built() -> None:
    short = identity(embedder={"local": {"dimensions": 32}})
    assert next_work(identity(), None, built=False, donors=[donor(short)]).mode == "Build"


def test_another_model_or_chunking_is_built() -> None:
    for change in ({"embedder": {"local": {"model": {"revision": "2"}}}}, {"documents": {"chunking": {"maxTokens": 100}}}):
        assert next_work(identity(**change), None, built=False, donors=[donor(identity())]).mode == "Build"


def test_equal_vectors_are_preferred_to_longer_ones() -> None:
    wanted = identity(embedder={"local": {"dimensions": 32}}, vectorStore={"milvus": {"shards": 2}})
    longer, equal = donor(identity(), "a-longer"), donor(identity(embedder={"local": {"dimensions": 32}}), "b-equal")
    found = next_work(wanted, None, built=False, donors=[longer, equal])
    assert found.from_ is not None
    assert found.from_.index == "b-equal"


def test_what_people_asked_to_build_anew_is_not_copied() -> None:
    wanted = identity("again", vectorStore={"milvus": {"shards": 2}})
    assert next_work(wanted, None, built=False, donors=[donor(identity())]).mode == "Build"


def test_a_build_under_way_does_not_turn_into_a_copy() -> None:
    present = Work(mode="Build", attempt=1)
    wanted = identity(vectorStore={"milvus": {"shards": 2}})
    assert next_work(wanted, present, built=False, donors=[donor(identity())]) == present


def test_a_failed_build_is_tried_again_under_another_number() -> None:
    assert next_work(identity(), Work(mode="Build", attempt=1), built=False, failed=True) == Work(mode="Build", attempt=2)


def test_writers_stop_before_an_index_is_dropped() -> None:
    present = Work(mode="Sync", attempt=1)
    stopped = next_work(identity(), present, built=True, collect="StopWriters")
    assert stopped.mode == "Stop"
    assert next_work(identity(), stopped, built=True, collect="MarkCollecting").mode == "Stop"
    dropped = next_work(identity(), stopped, built=True, collect="Drop")
    assert dropped == Work(mode="Drop", attempt=2)
    assert next_work(identity(), dropped, built=True, collect="Drop") == dropped
    assert next_work(identity(), dropped, built=True, collect="Drop", failed=True).attempt == 3


def test_an_index_never_copies_from_itself() -> None:
    own = donor(declared_index(revision_of().spec))
    assert next_work(identity(), None, built=False, donors=[own]).mode == "Build"
