"""The command of docs/indexer.md, typed as it stands there, with an index and sources beside it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import yaml

from documented import register
from documented.pages import ROOT
from documented.shell import Shell
from doubles.embedder import EmbedderDouble
from doubles.indexing import Corpus
from doubles.ragindex import manifest

(BUILD,) = register.RUN_BY[register.INDEXER]


async def test_the_build_of_the_page_fills_an_index(lite_address: str, double: EmbedderDouble, corpus: Corpus, tmp_path: Path) -> None:
    corpus.become({"leave.txt": "Every employee has thirty days of leave.", "travel.txt": "Long journeys are made by train."})
    (tmp_path / "index.yaml").write_text(yaml.safe_dump(manifest(lite_address, double.url)))
    roots = ":".join(str(ROOT / "images" / part) for part in ("common", "indexer"))
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": roots}
    shell = Shell(register.INDEXER, tmp_path, environment)
    said = await asyncio.to_thread(shell.run, BUILD)
    summary = json.loads(said.splitlines()[-1])
    assert (summary["complete"], summary["documents"]) == (True, 2)
    assert (tmp_path / "status.json").exists()
    shell.finish()
