"""Two small indexes with the same documents, and routing tables that name them and the stand-ins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from doubles.embedder import EmbedderDouble, vector_of
from doubles.gateway import GatewayProcess
from doubles.generator import GeneratorDouble
from rag_runtime.contracts.collections import chunk_key
from rag_runtime.contracts.routing import (
    EmbedderRoute,
    GeneratorRoute,
    IndexRoute,
    MetadataField,
    Retrieval,
    Route,
    RoutingTable,
    Sampling,
)
from rag_runtime.milvus.rows import Chunk

SMALL, LARGE = 8, 24  # dimensions of the two indexes
DOCUMENTS = 30
CHUNKS = 4  # per document
FIELDS = (
    MetadataField(name="department"),
    MetadataField(name="year", type="Integer"),
    MetadataField(name="score", type="Number"),
    MetadataField(name="public", type="Boolean"),
    MetadataField(name="tags", type="StringList"),
)
# What a filter's string must survive.
NASTY = "quo\"te \\ back\nline 'single' § 日本 😀 or 1 == 1"


@dataclass(frozen=True)
class Indexed:
    """An index that is there: its collection and how a question is put to hit one of its chunks exactly."""

    address: str
    collection: str
    dimensions: int

    def route(self, **changes: Any) -> IndexRoute:
        """The index as a routing table names it."""
        return IndexRoute(address=self.address, collection=self.collection, metadata=FIELDS, search={"ef": 64}, **changes)


def text_of(document: int, chunk: int) -> str:
    return f"Document {document}, part {chunk}."


def metadata_of(document: int) -> dict[str, Any]:
    return {
        "department": NASTY if document == 7 else ["legal", "sales"][document % 2],
        "year": 2000 + document,
        "score": document / 4,
        "public": document % 3 == 0,
        "tags": ["all", f"t{document % 5}"],
    }


def chunks(dimensions: int) -> list[Chunk]:
    made = []
    for document in range(DOCUMENTS):
        for ordinal in range(CHUNKS):
            text, name = text_of(document, ordinal), f"docs/{document}.md"
            made.append(
                Chunk(
                    key=chunk_key(name, text, 0),
                    document=name,
                    text=text,
                    ordinal=ordinal,
                    span_start=100 * ordinal,
                    span_end=100 * ordinal + len(text),
                    title=f"Title {document}",
                    uri=f"https://docs.example/{document}",
                    metadata=metadata_of(document),
                    vector=vector_of("query: " + text, dimensions, f"print-{dimensions}"),
                )
            )
    return made


def route(
    revision: str,
    index: Indexed,
    embedder: EmbedderDouble,
    generator: GeneratorDouble | None = None,
    *,
    weight: int = 100,
    max_model_len: int = 4096,
    **changes: Any,
) -> Route:
    """A revision of the stand-ins."""
    generated = GeneratorRoute(url=generator.url, model="tiny", max_model_len=max_model_len) if generator else None
    embedded = EmbedderRoute(url=embedder.url, model=embedder.model, dimensions=index.dimensions, fingerprint=f"print-{index.dimensions}")
    settings: dict[str, Any] = {"retrieval": Retrieval(top_k=3), "sampling": Sampling(max_tokens=64), **changes}
    return Route(revision=revision, weight=weight, embedder=embedded, index=index.route(), generator=generated, **settings)


def table(epoch: int, *routes: Route, salt: str = "s") -> RoutingTable:
    return RoutingTable(epoch=epoch, pipeline="handbook", salt=salt, routes=routes)


async def answer_by(gateway: GatewayProcess, *routes: Route) -> int:
    """Publish a table of the next epoch, wait until it is served, and return the epoch."""
    gateway.publish(table(gateway.epoch + 1, *routes))
    await gateway.serving(gateway.epoch)
    return gateway.epoch
