"""Generated files: the same every time, and the ones in the checkout are today's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rag_operator.api.crd import generated, index_crd, main, pipeline_crd, spec_schema
from rag_operator.api.rules import VALIDATIONS
from rag_operator.api.schema import descend

ROOT = Path(__file__).parents[4]


GENERATED = dict(generated())


@pytest.mark.parametrize(("path", "text"), GENERATED.items(), ids=GENERATED)
def test_a_generated_file_is_up_to_date(path: str, text: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == text, "run `make generate`"


def test_generating_again_changes_nothing(tmp_path: Path) -> None:
    main(tmp_path)
    written = {str(file.relative_to(tmp_path)): file.read_text(encoding="utf-8") for file in tmp_path.rglob("*") if file.is_file()}
    assert written == GENERATED


def test_the_charts_copy_is_kept_when_the_chart_goes_and_can_be_left_out() -> None:
    copies = {path: text for path, text in GENERATED.items() if path.startswith("charts/")}
    assert len(copies) == 2
    for text in copies.values():
        opened, body = text.split("\n", 2)[1:]
        assert opened == "{{- if .Values.crds.install }}"
        crd = yaml.load(body.rsplit("{{- end }}", 1)[0], yaml.CSafeLoader)
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_reference_documents_both_kinds_and_the_refused_variables() -> None:
    reference = GENERATED["docs/api.md"]
    for wanted in ("`spec.embedder.local.batching.maxWait`", "### RAGIndex status", "exactly one of s3, pvc, git or configMap", "`LD_`"):
        assert wanted in reference


def test_the_server_adds_nothing_to_the_items_of_a_list_that_git_has() -> None:
    filled = [path for path, below in descend(spec_schema()) if "[]" in path and "default" in below]
    assert filled == [], "Argo CD compares lists as a whole: such a pipeline would be out of sync for ever"


@pytest.mark.parametrize("crd", [pipeline_crd(), index_crd()], ids=["RAGPipeline", "RAGIndex"])
def test_a_definition_lists_no_empty_rules_which_the_server_would_not_store(crd: dict[str, Any]) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert [path for path, below in descend(schema) if below.get(VALIDATIONS, ...) == []] == []
