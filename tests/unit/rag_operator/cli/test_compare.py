"""What a changed spec would do, component by component."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.cli.compare import Change, compare
from rag_operator.model.plan import Record, Retired
from rag_operator.model.revision import Revision
from rag_operator.rollout.identity import resolve
from unit.rag_operator.rollout.situations import NOW, A, B, revision, rollout, spec

INDEX = RAGIndexStatus.model_validate({"sync": {"chunks": 4200, "documents": 1400}})


def change(wanted: Revision, record: Record | None = None, *others: Revision) -> Change:
    return compare(wanted, A, record or Record(stable=A.name), INDEX, (A, *others))


def fates(found: Change) -> dict[str, str]:
    return {part.name: part.fate for part in found.parts}


def test_a_new_layout_embeds_nothing() -> None:
    layout = revision("a", shards=4)
    found = change(layout)
    assert (found.chunks_to_embed, fates(found)) == (0, {A.embedder.name: "shared", layout.index.name: "new", A.index.name: "leaves"})
    assert any("vectors are copied" in remark for remark in found.remarks)


def test_other_retrieval_settings_start_no_pod() -> None:
    found = change(revision("a", top_k=20))
    assert (found.chunks_to_embed, set(fates(found).values())) == (0, {"shared"})


def test_what_still_stands_is_not_built_again() -> None:
    found = change(B, Record(stable=A.name, retired=Retired(B.name, NOW)), B)
    assert (found.chunks_to_embed, fates(found)[B.index.name]) == (0, "shared")
    assert any("kept for rollback" in remark for remark in found.remarks)


def test_fields_that_change_in_place_are_named() -> None:
    resized = replace(A, spec=spec("a", indexer={"buildParallelism": 3}))
    found = change(resized)
    assert found.in_place == ("indexer.buildParallelism: 1 → 3",)
    assert "the same revision: nothing is rolled out" in found.remarks


def test_a_rejected_revision_and_a_running_rollout_are_said() -> None:
    assert any("rejected" in remark for remark in change(B, Record(stable=A.name, rejected=(B.name,))).remarks)
    assert any("takes the place of" in remark for remark in change(revision("c"), Record(stable=A.name, rollout=rollout())).remarks)


def test_unchecked_quality_is_said() -> None:
    assert any("goes unchecked" in remark for remark in change(B).remarks)


def test_what_makes_a_new_revision_is_not_said_to_change_in_place() -> None:
    found = change(revision("a", top_k=20))
    assert (found.in_place, found.settings) == ((), ("retrieval.topK: 8 → 20",))


def prompted(config_map: str, text: str) -> Revision:
    generator = {
        "external": {"url": "https://m.example/v1", "model": "m"},
        "prompt": {"templateConfigMapRef": {"name": config_map, "key": "k"}},
    }
    return resolve("handbook", spec("a", generator=generator), template=text)


def test_another_text_of_a_template_is_a_new_revision_and_its_move_to_another_config_map_is_none() -> None:
    stable = prompted("texts", "{text}")
    edited, moved = (compare(wanted, stable, Record(), None) for wanted in (prompted("texts", "{title}"), prompted("moved", "{text}")))
    assert (edited.revision == stable.name, edited.in_place) == (False, ())
    assert edited.settings == ("generator.prompt.templateConfigMapRef: another text",)
    assert (moved.revision == stable.name, moved.settings) == (True, ())
    assert moved.in_place == ("generator.prompt.templateConfigMapRef.name: texts → moved",)


@pytest.mark.parametrize(("path", "value"), [("documentPrefix", "passage: "), ("queryPrefix", "query: ")])
def test_a_prompt_of_the_embedder_does_not_change_in_place(path: str, value: str) -> None:
    local = spec("a").to_wire()["embedder"]["local"]
    wanted = resolve("handbook", spec("a", embedder={"local": {**local, path: value}}))
    assert wanted.name != A.name
    assert change(wanted).in_place == ()
