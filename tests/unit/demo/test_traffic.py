"""What the demo's clients count: failed answers, and answers whose parts do not belong together."""

from __future__ import annotations

from demo.traffic import Answer, summarize


def answer(revision: str, collection: str = "", dimension: str = "", status: int = 200, mode: str = "") -> Answer:
    return Answer(at=1.0, seconds=0.1, status=status, revision=revision, collection=collection, dimension=dimension, mode=mode)


def test_answers_of_two_revisions_from_their_own_collections_are_not_mixed() -> None:
    seen = summarize([answer("a", "x", "384"), answer("b", "y", "32"), answer("a", "x", "384"), answer("b")])
    assert (seen.failed, seen.mixed, seen.witnessed) == (0, 0, 3)
    assert seen.origins == {"a": ("x", "384"), "b": ("y", "32")}


def test_an_answer_from_the_other_revisions_collection_is_mixed() -> None:
    assert summarize([answer("a", "x", "384"), answer("b", "y", "384"), answer("a", "y", "384")]).mixed == 1


def test_a_vector_of_another_length_is_mixed() -> None:
    assert summarize([answer("a", "x", "384"), answer("a", "x", "32")]).mixed == 1


def test_an_error_and_an_answer_without_prose_are_failures() -> None:
    assert summarize([answer("a", status=503), answer("a", mode="passages"), answer("a")]).failed == 2
