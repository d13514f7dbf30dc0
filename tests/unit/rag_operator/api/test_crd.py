"""Generated files: the same every time, and the ones in the checkout are today's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rag_operator.api.crd import generated, main

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(("path", "text"), [*generated()], ids=[path for path, _ in generated()])
def test_a_generated_file_is_up_to_date(path: str, text: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == text, "run `make generate`"


def test_generating_again_changes_nothing(tmp_path: Path) -> None:
    main(tmp_path)
    first = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    main(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == first


def test_the_charts_copy_is_kept_when_the_chart_goes_and_can_be_left_out() -> None:
    copies = {path: text for path, text in generated() if path.startswith("charts/")}
    assert len(copies) == 2
    for text in copies.values():
        opened, body = text.split("\n", 2)[1:]
        assert opened == "{{- if .Values.crds.install }}"
        crd = yaml.safe_load(body.rsplit("{{- end }}", 1)[0])
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_reference_documents_both_kinds_and_the_refused_variables() -> None:
    reference = dict(generated())["docs/api.md"]
    for wanted in ("`spec.embedder.local.batching.maxWait`", "### RAGIndex status", "exactly one of s3, pvc, git or configMap", "`LD_`"):
        assert wanted in reference
