"""The commands alone with files, without Kubernetes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymilvus import MilvusClient

from doubles.indexing import text_of
from rag_indexer import cli
from rag_indexer.settings import Settings
from rag_runtime.milvus.store import MilvusIndex

DOCUMENTS = {f"{number:02d}.txt": text_of(f"document {number}", 1 + number % 3) for number in range(15)} | {"empty.txt": ""}


@dataclass
class Alone:
    """Commands without Kubernetes."""

    directory: Path
    capsys: pytest.CaptureFixture[str]
    settings: dict[str, Any] = field(default_factory=dict)

    async def run(self, command: str, index: dict[str, Any], **settings: Any) -> tuple[int, dict[str, Any]]:
        """Exit code and summary."""
        file = self.directory / "index.yaml"
        file.write_text(yaml.safe_dump(index))
        known = {
            "index_file": file,
            "status_file": self.directory / "status.json",
            "sources": self.directory / "sources",
            "credentials": self.directory,
            "work": self.directory / "work",
            "termination_log": self.directory / "termination",
        }
        self.capsys.readouterr()
        code = await cli._run(command, Settings(**{**known, **self.settings, **settings}))
        return code, json.loads(self.capsys.readouterr().out.splitlines()[-1])

    def status(self, index: dict[str, Any]) -> dict[str, Any]:
        """What was reported."""
        found: dict[str, Any] = json.loads((self.directory / "status.json").read_bytes())[index["metadata"]["name"]]
        return found


def in_milvus(client: MilvusClient, index: dict[str, Any]) -> MilvusIndex:
    """The collections of an index."""
    return MilvusIndex(client, index["spec"]["collection"])
