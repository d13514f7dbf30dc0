from __future__ import annotations

from typing import Any

from doubles.manifests import OWNER, revision_of, spec_of
from rag_operator.desired import addresses, credentials, routing
from rag_operator.desired.access import with_access
from rag_operator.model.revision import Revision


def asking(secret: str | None, *, embedder: str = "e", generator: str | None = "g", **change: Any) -> Revision:
    """Everything is somewhere else and asked with the keys in one Secret."""
    ref = {"credentialsSecretRef": {"name": secret}} if secret else {}
    embeds = {"url": "https://models.example.com/v1", "model": embedder, "dimensions": 8, "revision": "1", **ref}
    answers = {"url": "https://models.example.com/v1", "model": generator, **ref}
    store = {"address": "milvus.example.com:19530", **ref}
    spec = {
        "embedder": {"local": None, "external": embeds},
        "generator": {"external": answers, "sampling": {"maxTokens": 10}} if generator else None,
        "vectorStore": {"milvus": {"standalone": None, "external": store}},
    }
    return revision_of(spec_of(**{**spec, **change}))


def named(revision: Revision) -> tuple[str | None, str | None, str | None]:
    """The Secrets of embedder, generator and store that the revision's route names."""
    route = routing.routing_table(OWNER, [routing.Answering(revision, 100)], epoch=1, salt="").routes[0]
    return route.embedder.credentials, route.generator.credentials if route.generator is not None else None, route.index.credentials


def test_what_is_the_same_is_reached_as_the_newest_says() -> None:
    other = asking("new", retrieval={"topK": 20})
    assert other.name != asking("old").name
    assert named(with_access(asking("old"), other)) == ("new", "new", "new")
    assert named(with_access(asking("old"), asking(None))) == (None, None, None)


def test_the_longest_text_of_an_embedder_is_what_the_newest_says_of_the_same_one() -> None:
    def limited(tokens: int, **change: Any) -> Revision:
        spec = asking(None, **change).spec
        raw = spec.to_wire()
        raw["embedder"]["external"]["maxInputTokens"] = tokens
        return revision_of(type(spec).model_validate(raw))

    other = limited(2048, retrieval={"topK": 20})
    found = with_access(limited(512), other)
    assert found.name != other.name
    assert addresses.embedder_access(OWNER, found).max_input_tokens == 2048
    assert addresses.embedder_access(OWNER, with_access(limited(512), limited(2048, embedder="f"))).max_input_tokens == 512


def test_another_embedder_or_generator_keeps_its_own_key_and_the_store_is_the_same_always() -> None:
    assert named(with_access(asking("old"), asking("new", embedder="f"))) == ("old", "new", "new")
    assert named(with_access(asking("old"), asking("new", generator="h"))) == ("new", "old", "new")
    assert named(with_access(asking("old"), asking("new", generator=None))) == ("new", "old", "new")


def test_another_authority_of_the_store_is_every_revision_s() -> None:
    external = {"address": "milvus.example.com:19530", "tls": {"caSecretRef": {"name": "ca", "key": "ca.crt"}}}
    authority = {"milvus": {"standalone": None, "external": external}}
    found = with_access(asking("old"), asking("old", vectorStore=authority))
    assert named(found) == ("old", "old", "ca")
    assert credentials.Part("ca", "ca") in credentials.of_answering(found.spec)


def test_a_revision_whose_parts_are_ours_is_as_it_was() -> None:
    assert with_access(revision_of(), asking("new")) == revision_of()
    assert with_access(asking("old"), revision_of()) == asking("old")
