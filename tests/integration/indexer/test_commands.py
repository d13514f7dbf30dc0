"""The commands as they are run, alone with files: exit codes, summaries, what is in the index afterwards."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from pymilvus import MilvusClient

from doubles.embedder import EmbedderDouble
from doubles.indexing import Corpus, differences
from integration.indexer.alone import DOCUMENTS, Alone, in_milvus
from rag_indexer import cli
from rag_indexer.settings import Settings


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


async def test_what_the_server_ignores_is_said_whichever_share_is_last(alone: Alone, index: dict[str, Any]) -> None:
    index["spec"]["identity"]["layout"]["shards"] = 4
    for share in (0, 2, 1):
        await alone.run("build", index, parallelism=3, share=share)
    (ignored,) = alone.status(index)["observed"]["ignored"]
    assert ignored.startswith("shards: 4 asked for, ")


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
