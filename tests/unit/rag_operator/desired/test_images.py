from __future__ import annotations

from dataclasses import replace

from doubles.manifests import TEMPLATES, revision_of, spec_of
from rag_operator.desired import images

OTHER = {kind: f"elsewhere/{kind}:{{version}}" for kind in images.KINDS}


def test_a_pipeline_s_runtime_version_is_put_into_the_templates() -> None:
    found = images.chosen(OTHER, spec_of(runtime={"version": "0.7"}))
    assert found == {kind: f"elsewhere/{kind}:0.7" for kind in images.KINDS}


def test_what_was_recorded_stays_while_the_runtime_version_does() -> None:
    stable = revision_of()
    assert images.chosen(OTHER, spec_of(retrieval={"topK": 3}), before=stable) == stable.images


def test_another_runtime_version_chooses_anew() -> None:
    found = images.chosen(OTHER, spec_of(runtime={"version": "0.2"}), before=revision_of())
    assert found["gateway"] == "elsewhere/gateway:0.2"


def test_a_record_that_lacks_an_image_is_not_taken_over() -> None:
    older = replace(revision_of(), images={"gateway": "ragops.dev/gateway:0.1"})
    assert set(images.chosen(TEMPLATES, spec_of(), before=older)) == set(images.KINDS)
