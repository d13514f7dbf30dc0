from __future__ import annotations

from typing import Any

import pytest

from doubles.manifests import OWNER, revision_of, spec_of, vllm
from rag_operator.desired.routing import Answering, config_map, routing_table, search_parameters
from rag_runtime.contracts.routing import TABLE_KEY, Route, RoutingTable


def route(**change: Any) -> Route:
    revision = revision_of(spec_of(**change))
    return routing_table(OWNER, [Answering(revision, 100, "f-1")], epoch=3, salt="s").routes[0]


def test_a_revision_is_routed_to_its_own_components() -> None:
    revision = revision_of(spec_of(generator=vllm()))
    found = routing_table(OWNER, [Answering(revision, 100, "f-1")], epoch=3, salt="s").routes[0]
    assert found.revision == revision.name
    assert found.embedder.url == f"http://{revision.embedder.name}.search.svc:8080"
    assert found.embedder.fingerprint == "f-1"
    assert found.index.collection == revision.collection
    assert found.index.address == "handbook-milvus.search.svc:19530"
    assert revision.generator is not None
    assert found.generator is not None
    assert found.generator.url == f"http://{revision.generator.name}.search.svc:8000"
    assert found.generator.max_model_len == 512


def test_the_stored_table_is_read_back_the_same() -> None:
    stable, candidate = revision_of(), revision_of(spec_of(embedder={"local": {"dimensions": 32}}))
    table = routing_table(OWNER, [Answering(stable, 95), Answering(candidate, 5)], epoch=41, salt="x")
    stored = config_map(OWNER, table)
    assert stored["metadata"]["name"] == "handbook-routing"
    assert RoutingTable.from_json(stored["data"][TABLE_KEY]) == table


def test_the_order_of_revisions_changes_nothing() -> None:
    stable, candidate = Answering(revision_of(), 95), Answering(revision_of(spec_of(retrieval={"topK": 3})), 5)
    assert routing_table(OWNER, [stable, candidate], epoch=1, salt="") == routing_table(OWNER, [candidate, stable], epoch=1, salt="")


def test_weights_that_do_not_make_a_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="weights sum to 60"):
        routing_table(OWNER, [Answering(revision_of(), 60)], epoch=1, salt="")


@pytest.mark.parametrize(
    ("milvus", "top_k", "expected"),
    [
        ({}, 8, {"ef": 64}),
        ({}, 100, {"ef": 100}),
        ({"search": {"ef": 200}}, 8, {"ef": 200}),
        ({"index": {"ivfFlat": {}}}, 8, {"nprobe": 16}),
        ({"index": {"ivfSq8": {}}, "search": {"nprobe": 5}}, 8, {"nprobe": 5}),
        ({"index": {"flat": {}}}, 8, {}),
    ],
)
def test_search_parameters_fit_the_kind_of_index(milvus: dict[str, Any], top_k: int, expected: dict[str, int]) -> None:
    assert search_parameters(spec_of(vectorStore={"milvus": milvus}).vector_store.milvus, top_k) == expected


def test_prefixes_and_prompts_of_the_spec_reach_the_gateway() -> None:
    found = route(
        embedder={"local": {"queryPrefix": "query: "}},
        generator={**vllm(), "prompt": {"system": "Answer briefly."}, "sampling": {"temperature": 0.5, "maxTokens": 32}},
        retrieval={"topK": 3, "query": {"mode": "LastTurns", "turns": 5}},
    )
    assert found.embedder.query_prefix == "query: "
    assert found.prompt.system == "Answer briefly."
    assert (found.sampling.temperature, found.sampling.max_tokens) == (0.5, 32)
    assert (found.retrieval.top_k, found.retrieval.query, found.retrieval.turns) == (3, "LastTurns", 5)


def test_an_unset_prefix_means_the_model_s_own_here_and_none_at_an_endpoint() -> None:
    assert route().embedder.query_prefix is None
    assert route(embedder=endpoint()).embedder.query_prefix == ""


def endpoint() -> dict[str, Any]:
    external = {"url": "https://e.example.com/v1/", "model": "e", "dimensions": 8, "revision": "1", "credentialsSecretRef": {"name": "key"}}
    return {"local": None, "external": external}


def test_an_endpoint_is_reached_at_its_base_with_its_key_and_has_no_fingerprint_to_check() -> None:
    found = route(embedder=endpoint()).embedder
    assert (found.url, found.credentials, found.fingerprint) == ("https://e.example.com", "key", None)


def test_an_external_generator_has_no_tokenizer_to_ask() -> None:
    external = {"url": "https://llm.example.com/v1", "model": "m", "maxModelLen": 1000, "credentialsSecretRef": {"name": "key"}}
    found = route(generator={"external": external, "sampling": {"maxTokens": 10}}).generator
    assert found is not None
    assert (found.url, found.tokenizer, found.credentials) == ("https://llm.example.com", False, "key")


def test_the_name_in_a_store_s_certificate_reaches_the_gateway() -> None:
    external = {"address": "10.0.0.7:19530", "tls": {"serverName": "milvus.example.com"}}
    found = route(vectorStore={"milvus": {"standalone": None, "external": external}}).index
    assert (found.tls, found.server_name) == (True, "milvus.example.com")


def test_declared_metadata_can_be_filtered_by() -> None:
    fields = [{"name": "department", "type": "String", "from": {"frontMatter": "department"}}]
    assert [(field.name, field.type) for field in route(documents={"metadata": fields}).index.metadata] == [("department", "String")]


def test_the_text_of_a_prompt_template_comes_from_the_record() -> None:
    revision = revision_of(spec_of(generator=vllm()), template="{question} {passages}")
    assert routing_table(OWNER, [Answering(revision, 100)], epoch=1, salt="").routes[0].prompt.template == "{question} {passages}"
