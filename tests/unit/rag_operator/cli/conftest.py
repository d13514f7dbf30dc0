"""The command line with a cluster of one pipeline behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from rag_operator import names
from rag_operator.cli import main
from unit.rag_operator.cli.fakes import Command, FakeClient
from unit.rag_operator.rollout.situations import spec


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def rag(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(main, "connect", client.connect)
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main.app, list(arguments))

    return invoke


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "handbook.yaml"
    document = {"apiVersion": names.API_VERSION, "kind": "RAGPipeline", "metadata": {"name": "handbook"}, "spec": spec("b").to_wire()}
    file.write_text(yaml.safe_dump_all([{"kind": "ConfigMap"}, document]))
    return file
