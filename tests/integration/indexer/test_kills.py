"""The program itself, killed with SIGKILL at random points of a build, again and again: the index is what it would have been."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

import pytest
import yaml
from pymilvus import MilvusClient

from doubles.embedder import EmbedderDouble
from doubles.indexing import Corpus, differences, expected_chunks, text_of
from doubles.ragindex import manifest
from rag_indexer.indexing.batching import BATCH_DOCUMENTS
from rag_indexer.indexing.passing import BATCHES_AT_RISK
from rag_indexer.probes import TEXTS
from rag_runtime.milvus.store import MilvusIndex

ROOT = Path(__file__).parents[3]
KILLS = 20 if os.environ.get("RAG_CAMPAIGN") else 2


def documents(edition: int) -> dict[str, str]:
    return {f"{number:03d}.txt": text_of(f"document {number}", 1 + number % 4, edition) for number in range(120)}


async def build(directory: Path) -> asyncio.subprocess.Process:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(str(ROOT / "images" / part) for part in ("common", "indexer")),
        "RAG_INDEX_FILE": str(directory / "index.yaml"),
        "RAG_STATUS_FILE": str(directory / "status.json"),
        "RAG_SOURCES_DIR": str(directory / "sources"),
        "RAG_WORK_DIR": str(directory / "work"),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rag_indexer", "build", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )


async def killed_after(process: asyncio.subprocess.Process, double: EmbedderDouble, texts: int) -> bool:
    """SIGKILL once so many more texts were asked for; False when the build ended before."""
    wanted = len(double.texts) + texts
    while len(double.texts) < wanted:
        double.asked.clear()
        asked, ended = asyncio.create_task(double.asked.wait()), asyncio.create_task(process.wait())
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if ended.done():
            return False
        ended.cancel()
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    return True


@pytest.mark.timeout(3_600)
async def test_a_build_that_is_killed_again_and_again_ends_as_it_should(
    lite_address: str, lite_client: MilvusClient, double: EmbedderDouble, corpus: Corpus, tmp_path: Path
) -> None:
    edition, needed = 1, len(expected_chunks(documents(1)))
    corpus.become(documents(edition))
    index = manifest(lite_address, double.url)
    (tmp_path / "index.yaml").write_text(yaml.safe_dump(index))
    chance = random.Random(5)
    kills = 0
    while kills < KILLS:
        if await killed_after(await build(tmp_path), double, chance.randrange(1, 3 * BATCH_DOCUMENTS)):
            kills += 1
        else:  # it was done before that, so there is more to do
            edition += 1
            needed += len(expected_chunks(documents(edition)).keys() - expected_chunks(corpus.documents).keys())
            corpus.become(documents(edition))
    last = await build(tmp_path)
    output, _ = await last.communicate()
    assert last.returncode == 0
    assert json.loads(output.splitlines()[-1])["complete"] is True
    assert differences(MilvusIndex(lite_client, index["spec"]["collection"]), corpus.documents) == []
    texts = [text for text in double.texts if text not in TEXTS]
    most = max(1 + number % 4 for number in range(4))
    assert len(texts) - needed <= kills * BATCHES_AT_RISK * BATCH_DOCUMENTS * 2 * most
