"""What `plan` says of a file, and of one that it cannot say anything of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag_operator.model import codec
from rag_operator.model.plan import Record
from unit.rag_operator.cli.fakes import Command, FakeClient
from unit.rag_operator.rollout.situations import A, B, spec


def test_plan_says_what_is_new_and_how_much_would_be_embedded(rag: Command, client: FakeClient, manifest: Path) -> None:
    client.records = [A]
    client.status = {"record": codec.dumps(Record(stable=A.name))}
    client.indexes = {A.index.name: {"sync": {"chunks": 4200, "documents": 1400}}}
    change: dict[str, Any] = json.loads(rag("plan", str(manifest), "-o", "json").output)
    assert (change["revision"], change["stable"], change["chunks_to_embed"]) == (B.name, A.name, 4200)
    assert {(part["name"], part["fate"]) for part in change["parts"]} == {
        (B.embedder.name, "new"),
        (B.index.name, "new"),
        (A.embedder.name, "leaves"),
        (A.index.name, "leaves"),
    }
    shown = rag("plan", str(manifest)).output
    assert "embedder.local.model.name: acme/a → acme/b" in shown
    assert "about 4,200" in shown


def test_plan_of_a_pipeline_that_does_not_exist_yet(rag: Command, client: FakeClient, manifest: Path) -> None:
    client.indexes = {}
    client.status = {}
    assert "not known before the first build" in rag("plan", str(manifest)).output


def test_plan_of_a_wrong_file_names_the_field(rag: Command, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump({"kind": "RAGPipeline", "metadata": {"name": "x"}, "spec": {**spec("b").to_wire(), "sources": []}}))
    result = rag("plan", str(file))
    assert (result.exit_code, "spec.sources" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kind: ConfigMap", "holds no RAGPipeline"),
        ("kind: RAGPipeline", "metadata.name: Field required"),
        ("kind: RAGPipeline\nmetadata: {name: x}", "spec.sources: Field required"),
        ("kind: [", "is not YAML"),
    ],
    ids=lambda text: text.splitlines()[0],
)
def test_plan_of_a_file_that_holds_no_pipeline_is_wrong_usage(rag: Command, tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    result = rag("plan", str(file))
    assert (result.exit_code, why in result.output) == (2, True)


def test_plan_looks_where_the_file_would_be_applied(rag: Command, client: FakeClient, manifest: Path) -> None:
    document = list(yaml.safe_load_all(manifest.read_text()))[1]
    document["metadata"]["namespace"] = "elsewhere"
    manifest.write_text(yaml.safe_dump(document))
    assert rag("plan", str(manifest)).exit_code == 0
    assert [place.namespace for place in client.places] == ["elsewhere"]
    contrary = rag("-n", "search", "plan", str(manifest))
    assert (contrary.exit_code, "elsewhere" in contrary.output) == (2, True)


def test_plan_without_the_template_that_the_file_names_says_so(rag: Command, tmp_path: Path) -> None:
    file = tmp_path / "handbook.yaml"
    generator = {"external": {"url": "https://m.example/v1", "model": "m"}, "prompt": {"templateConfigMapRef": {"name": "t", "key": "k"}}}
    document = {"kind": "RAGPipeline", "metadata": {"name": "handbook"}, "spec": spec("b", generator=generator).to_wire()}
    file.write_text(yaml.safe_dump(document))
    result = rag("plan", str(file))
    assert (result.exit_code, "ConfigMap 't' in namespace 'search' has no key 'k'" in result.output) == (1, True)


def test_plan_shows_a_prompt_in_brackets_whole(rag: Command, client: FakeClient, manifest: Path) -> None:
    client.records, client.status, client.indexes = [A], {"record": codec.dumps(Record(stable=A.name))}, {}
    document = list(yaml.safe_load_all(manifest.read_text()))[1]
    document["spec"]["embedder"]["local"]["documentPrefix"] = "[/INST] [doc] "
    manifest.write_text(yaml.safe_dump(document))
    assert "None → [/INST] [doc]" in rag("plan", str(manifest)).output
