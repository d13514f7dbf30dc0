"""The commands of docs/embedder.md that run here, typed as they stand there but for the model's directory and the port."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from cluster.models import model_dir
from documented import register
from documented.programs import checkout, typed
from documented.shell import Shell

SERVER, QUESTION = register.RUN_BY[register.EMBEDDER]


async def test_the_embedder_of_the_page_answers_as_the_page_asks(tmp_path: Path) -> None:
    shell = Shell(register.EMBEDDER, checkout(tmp_path), {"RAG_MODEL_NAME": "minilm"})
    async with typed(shell, SERVER, {"…": str(model_dir("minilm"))}) as ports:
        said = await asyncio.to_thread(shell.run, QUESTION, {"localhost:8080": f"127.0.0.1:{ports['api']}"})
    assert [len(one["embedding"]) for one in json.loads(said)["data"]] == [384, 384]
    shell.finish()
