"""The commands as they are run, alone with files: exit codes, summaries, what is in the index afterwards."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pymilvus import MilvusClient

from doubles.embedder import EmbedderDouble, vector_of
from doubles.indexing import Corpus, differences, text_of
from doubles.ragindex import manifest, with_layout
from rag_indexer import cli
from rag_indexer.errors import IndexerError
from rag_indexer.settings import Settings
from rag_indexer.work.copying import CopyRun
from rag_indexer.work.sweeping import digest
from rag_runtime.milvus.rows import LedgerRow
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


@pytest.fixture
def alone(tmp_path: Path, capsys: pytest.CaptureFixture[str], corpus: Corpus) -> Alone:
    corpus.become(DOCUMENTS)
    return Alone(tmp_path, capsys)


@pytest.fixture
def index(lite_address: str, double: EmbedderDouble) -> dict[str, Any]:
    return manifest(lite_address, double.url)


def in_milvus(client: MilvusClient, index: dict[str, Any]) -> MilvusIndex:
    return MilvusIndex(client, index["spec"]["collection"])


async def test_a_build_fills_the_index_and_says_so(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, double: EmbedderDouble
) -> None:
    code, summary = await alone.run("build", index)
    assert (code, summary["complete"], summary["documents"]) == (0, True, len(DOCUMENTS))
    assert differences(in_milvus(lite_client, index), DOCUMENTS) == []
    status = alone.status(index)
    assert status["completed"] == status["acknowledged"] == {"mode": "Build", "attempt": 0}
    assert status["build"]["documents"] == status["build"]["total"] == len(DOCUMENTS)
    assert status["observed"]["modelFingerprint"] == double.fingerprint
    assert status["observed"]["probes"] == "Equal"
    assert status["observed"]["loaded"] is True


async def test_a_build_that_is_run_again_embeds_nothing_but_probes(alone: Alone, index: dict[str, Any], double: EmbedderDouble) -> None:
    await alone.run("build", index)
    double.texts.clear()
    code, summary = await alone.run("build", index)
    assert (code, summary["complete"]) == (0, True)
    assert len(double.texts) == 16


async def test_a_build_is_complete_when_its_last_share_is(alone: Alone, index: dict[str, Any], lite_client: MilvusClient) -> None:
    codes = [await alone.run("build", index, parallelism=3, share=share) for share in (0, 2, 1)]
    assert [summary["complete"] for _, summary in codes] == [False, False, True]
    assert sum(summary["documents"] for _, summary in codes) == len(DOCUMENTS)
    assert differences(in_milvus(lite_client, index), DOCUMENTS) == []
    assert alone.status(index)["build"]["documents"] == len(DOCUMENTS)


async def test_chunks_without_a_document_are_swept_by_a_build(alone: Alone, index: dict[str, Any], lite_client: MilvusClient) -> None:
    await alone.run("build", index)
    store = in_milvus(lite_client, index)
    store.delete_ledger(["docs/03.txt"])  # a ledger row that the store lost
    (alone.directory / "sources" / "docs" / "03.txt").unlink()
    _, summary = await alone.run("build", index)
    assert summary["orphansRemoved"] > 0
    assert differences(store, {path: text for path, text in DOCUMENTS.items() if path != "03.txt"}) == []


async def test_what_a_build_finds_incomplete_is_repaired_by_its_next_attempt(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient
) -> None:
    await alone.run("build", index)
    store = in_milvus(lite_client, index)
    store.delete_chunks([store.chunks_of(["docs/05.txt"])[0].key])
    code, summary = await alone.run("build", index)
    assert code == 1
    assert "1 documents lack chunks" in summary["error"]
    code, summary = await alone.run("build", index)
    assert (code, summary.get("complete")) == (0, True), summary
    assert differences(store, DOCUMENTS) == []


async def test_an_empty_source_builds_no_index(alone: Alone, index: dict[str, Any], corpus: Corpus) -> None:
    corpus.become({})
    code, summary = await alone.run("build", index)
    assert (code, summary["error"]) == (1, "no source has a document: an empty index is not built")
    assert "no source has a document" in alone.status(index)["build"]["message"]
    assert "completed" not in alone.status(index)


async def test_another_embedder_may_not_go_on_with_an_index(alone: Alone, index: dict[str, Any]) -> None:
    await alone.run("build", index)
    async with EmbedderDouble(8, fingerprint="other weights") as other:
        index["spec"]["embedder"]["url"] = other.url
        code, summary = await alone.run("build", index)
    assert code == 1
    assert "their probe vectors differ" in summary["error"]


async def test_chunks_too_long_for_the_model_are_refused_before_anything_is_written(alone: Alone, index: dict[str, Any]) -> None:
    index["spec"]["embedder"]["maxInputTokens"] = 16
    code, summary = await alone.run("build", index)
    assert code == 2
    assert "exceed the model's limit of 16" in summary["error"]


async def test_a_build_that_is_refused_for_the_model_s_limit_reports_the_limit(
    alone: Alone, index: dict[str, Any], double: EmbedderDouble
) -> None:
    double.max_tokens = 16
    code, _ = await alone.run("build", index)
    assert code == 2
    assert alone.status(index)["observed"]["modelTokenLimit"] == 16


async def test_an_index_that_is_not_there_is_said_to_be_missing(alone: Alone) -> None:
    code = await cli._run("build", Settings(index_file=alone.directory / "nowhere.yaml", work=alone.directory))
    assert code == 2


async def test_a_copy_to_another_layout_embeds_nothing(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, double: EmbedderDouble, lite_address: str
) -> None:
    await alone.run("build", index)
    double.texts.clear()
    origin = {"index": index["metadata"]["name"], "collection": index["spec"]["collection"], "dimensions": 8}
    layout = {"shards": 1, "index": {"ivfFlat": {"nlist": 4}, "metric": "L2"}}
    copied = with_layout(manifest(lite_address, double.url, work={"mode": "Copy", "from": origin}), layout)
    code, summary = await alone.run("copy", copied)
    assert (code, summary["documents"], summary["embedded"], double.texts) == (0, len(DOCUMENTS), 0, [])
    assert differences(in_milvus(lite_client, copied), DOCUMENTS) == []
    assert digest(in_milvus(lite_client, copied)) == digest(in_milvus(lite_client, index))
    status = alone.status(copied)
    assert status["observed"]["indexType"] == "IVF_FLAT"
    assert status["observed"]["modelFingerprint"] == double.fingerprint
    assert status["completed"]["mode"] == "Copy"


async def test_a_copy_to_fewer_dimensions_cuts_and_normalises(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, double: EmbedderDouble, lite_address: str
) -> None:
    await alone.run("build", index)
    origin = {"index": "x", "collection": index["spec"]["collection"], "dimensions": 8}
    layout = {"shards": 1, "index": {"flat": {}, "metric": "COSINE"}}
    short = with_layout(manifest(lite_address, double.url, work={"mode": "Copy", "from": origin}), layout, 4)
    async with TruncatingDouble(4) as shorter:
        short["spec"]["embedder"]["url"] = shorter.url
        code, _ = await alone.run("truncate", short)
    assert code == 0
    status = alone.status(short)
    assert status["observed"]["modelFingerprint"] == shorter.fingerprint, "the gateway will ask the new embedder, which names itself"
    whole = {chunk.key: chunk.vector for page in in_milvus(lite_client, index).scan_chunks(vectors=True) for chunk in page}
    cut = {chunk.key: chunk.vector for page in in_milvus(lite_client, short).scan_chunks(vectors=True) for chunk in page}
    assert whole.keys() == cut.keys()
    for key, vector in cut.items():
        assert vector is not None
        assert whole[key] is not None
        wanted = whole[key][:4] / np.linalg.norm(whole[key][:4])  # type: ignore[index]
        assert np.allclose(vector, wanted, atol=1e-5)


class TruncatingDouble(EmbedderDouble):
    """The double of eight dimensions, cut: the same weights, another fingerprint."""

    def _encoded(self, text: str) -> str:
        cut = vector_of(text, 8, "print-8")[: self.dimensions]
        return base64.b64encode((cut / np.linalg.norm(cut)).astype(np.float32).tobytes()).decode()


async def test_a_copy_to_fewer_dimensions_of_other_weights_is_refused(
    alone: Alone, index: dict[str, Any], double: EmbedderDouble, lite_address: str
) -> None:
    await alone.run("build", index)
    origin = {"index": "x", "collection": index["spec"]["collection"], "dimensions": 8}
    layout = {"shards": 1, "index": {"flat": {}, "metric": "COSINE"}}
    async with EmbedderDouble(4) as other:
        short = with_layout(manifest(lite_address, other.url, work={"mode": "Copy", "from": origin}), layout, 4)
        code, summary = await alone.run("copy", short)
    assert code == 2
    assert "its weights are others" in summary["error"]
    assert "completed" not in alone.status(short)


async def test_a_copy_leaves_documents_that_are_being_written_to_the_syncer(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, double: EmbedderDouble, lite_address: str
) -> None:
    await alone.run("build", index)
    store = in_milvus(lite_client, index)
    store.put_ledger([LedgerRow("docs/02.txt", "v", "writing")])
    store.delete_chunks([store.chunks_of(["docs/05.txt"])[0].key])
    origin = {"index": "x", "collection": index["spec"]["collection"], "dimensions": 8}
    copied = manifest(lite_address, double.url, work={"mode": "Copy", "from": origin})
    code, summary = await alone.run("copy", copied)
    assert (code, summary["documents"]) == (0, len(DOCUMENTS) - 2)
    assert in_milvus(lite_client, copied).chunks_of(["docs/02.txt", "docs/05.txt"]) == []


@pytest.mark.parametrize("dies_in", ["_ledger", "_finish"])
async def test_a_copy_that_died_goes_on_when_the_origin_has_changed_since(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, corpus: Corpus, dies_in: str
) -> None:
    async def die(*_: object) -> None:
        raise IndexerError("died")

    await alone.run("build", index)
    spec = index["spec"]
    origin = {"index": "x", "collection": spec["collection"], "dimensions": 8}
    copied = manifest(spec["milvus"]["address"], spec["embedder"]["url"], work={"mode": "Copy", "from": origin})
    with pytest.MonkeyPatch.context() as first:
        first.setattr(CopyRun, dies_in, die)
        assert (await alone.run("copy", copied))[0] == 1
    documents = {**DOCUMENTS, "02.txt": text_of("document 2", 3, edition=2)}
    del documents["04.txt"]
    corpus.become(documents)
    assert (await alone.run("build", index))[0] == 0
    code, summary = await alone.run("copy", copied)
    assert (code, summary.get("documents")) == (0, len(documents)), summary
    assert differences(in_milvus(lite_client, copied), documents) == []


async def test_vectors_are_not_copied_to_more_dimensions(alone: Alone, lite_address: str, double: EmbedderDouble) -> None:
    origin = {"index": "x", "collection": "x", "dimensions": 4}
    code, summary = await alone.run("copy", manifest(lite_address, double.url, work={"mode": "Copy", "from": origin}))
    assert (code, summary["error"]) == (2, "vectors of 4 dimensions cannot be cut to 8")


async def test_drop_removes_its_own_index_only(alone: Alone, index: dict[str, Any], lite_client: MilvusClient) -> None:
    await alone.run("build", index)
    code, summary = await alone.run("drop", index)
    assert (code, summary["exitCode"]) == (3, 3)
    assert "an index in use is not dropped" in summary["error"]
    dropping = deepcopy(index)
    dropping["spec"]["work"] = {"mode": "Drop", "attempt": 1}
    code, summary = await alone.run("drop", dropping, cluster_uid="another cluster")
    assert code == 3
    assert "belongs to somebody else" in summary["error"]
    assert in_milvus(lite_client, index).exists()
    code, summary = await alone.run("drop", dropping)
    assert (code, summary["dropped"]) == (0, True)
    assert not in_milvus(lite_client, index).exists()
    assert alone.status(index)["completed"] == {"mode": "Drop", "attempt": 1}
    assert (await alone.run("drop", dropping))[1]["dropped"] is False


async def test_check_finds_what_is_wrong(alone: Alone, index: dict[str, Any], lite_client: MilvusClient) -> None:
    await alone.run("build", index)
    code, summary = await alone.run("check", index)
    assert (code, summary["sound"], summary["observed"]["probes"]) == (0, True, "Equal")
    store = in_milvus(lite_client, index)
    store.delete_chunks([store.chunks_of(["docs/01.txt"])[0].key])
    store.delete_ledger(["docs/02.txt"])
    _, summary = await alone.run("check", index)
    assert summary["sound"] is False
    assert summary["incomplete"] == 1
    assert summary["orphans"] > 0


async def test_the_summary_is_the_termination_message(alone: Alone, index: dict[str, Any]) -> None:
    (alone.directory / "termination").touch()
    _, summary = await alone.run("build", index)
    assert json.loads((alone.directory / "termination").read_text()) == summary
