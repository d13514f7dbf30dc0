from __future__ import annotations

from typing import Any

from doubles.manifests import OWNER, revision_of, spec_of
from rag_operator.api.v1alpha1.index import EmbedderAccess
from rag_operator.desired.addresses import embedder_access
from rag_operator.rollout.identity import declared_index


def access(**external: Any) -> EmbedderAccess:
    endpoint = {"url": "https://models.example.com/v1", "model": "e", "dimensions": 8, "revision": "1", **external}
    spec = spec_of(embedder={"local": None, "external": endpoint})
    found = embedder_access(OWNER, revision_of(spec))
    assert found.document_prefix == declared_index(spec).content.document_prefix, "the index says what was done"
    return found


def test_an_endpoint_has_no_prompts_of_its_own() -> None:
    assert (access().query_prefix, access().document_prefix) == ("", "")


def test_the_prompts_of_the_spec_are_passed_on() -> None:
    found = access(queryPrefix="query: ", documentPrefix="passage: ")
    assert (found.query_prefix, found.document_prefix) == ("query: ", "passage: ")


def test_a_model_of_ours_has_its_own_prompts() -> None:
    found = embedder_access(OWNER, revision_of())
    assert (found.query_prefix, found.document_prefix) == (None, None)
