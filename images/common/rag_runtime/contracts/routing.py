"""The routing table: which revisions answer, with which weights. The only thing that moves during a rollout.

The operator writes it as JSON under the key `TABLE_KEY` of one ConfigMap per pipeline; gateways read it from there, or from a file
when run alone. A reader accepts its own `VERSION`, the one before and the one after: unknown fields are ignored, and what a
version adds must have a default that means the old behaviour.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

VERSION = 1
TABLE_KEY = "table.json"

_Fraction = Field(ge=0, le=100)


class _Contract(BaseModel):
    # `ignore`: a table of the next version may carry fields that this reader does not know.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class EmbedderRoute(_Contract):
    """Where a revision's queries are embedded."""

    url: str = Field(description="Base URL of the OpenAI-compatible API, without `/v1`.")
    model: str = Field(description="The `model` to ask for.")
    dimensions: int = Field(ge=1, le=32_768)
    fingerprint: str | None = Field(None, description="Model fingerprint that the embedder must report; null: not checked.")
    query_prefix: str | None = Field(None, description="Text put before each query; null: the model's own prompt.")
    credentials: str | None = Field(None, description="Directory name below the credentials mount; its file `apiKey` is sent.")


class MetadataField(_Contract):
    """One declared metadata field a client may filter by."""

    name: str
    type: Literal["String", "Integer", "Number", "Boolean", "StringList"] = "String"


class IndexRoute(_Contract):
    """Where a revision's vectors are searched."""

    address: str = Field(description="`host:port` of Milvus.")
    database: str = "default"
    collection: str = Field(description="Collection of chunks.")
    metric: Literal["COSINE", "IP", "L2"] = "COSINE"
    search: dict[str, Any] = Field(default_factory=dict, description="Search parameters, for example `{ef: 64}`.")
    metadata: tuple[MetadataField, ...] = ()
    tls: bool = False
    server_name: str | None = Field(None, description="The name in the server's certificate; null: the address's.")
    credentials: str | None = Field(
        None, description="Directory name below the credentials mount: `token`, or `username` and `password`; `ca.crt`."
    )


class GeneratorRoute(_Contract):
    """Where a revision's answers are written."""

    url: str = Field(description="Base URL of the OpenAI-compatible API, without `/v1`.")
    model: str
    max_model_len: int = Field(ge=16)
    credentials: str | None = None
    tokenizer: bool = Field(True, description="Whether the server has vLLM's `/tokenize`; otherwise a conservative bound counts.")


class Retrieval(_Contract):
    """How passages are found."""

    top_k: int = Field(8, ge=1, le=1000)
    query: Literal["LastMessage", "LastTurns"] = "LastMessage"
    turns: int = Field(3, ge=1, le=20, description="User turns joined into the query in mode `LastTurns`.")


class Prompt(_Contract):
    """What the generator is told. `template` renders one passage block; see the gateway's documentation."""

    system: str | None = None
    template: str | None = None


class Sampling(_Contract):
    """Defaults of the generator's sampling; a request may ask for less, never for more tokens."""

    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(512, ge=1)


class Route(_Contract):
    """One revision: embedder, index, generator and how they are used. A request is answered by exactly one."""

    revision: str = Field(min_length=1, max_length=63)
    weight: int = _Fraction
    embedder: EmbedderRoute
    index: IndexRoute
    generator: GeneratorRoute | None = None
    retrieval: Retrieval = Retrieval()
    prompt: Prompt = Prompt()
    sampling: Sampling = Sampling()


class RoutingTable(_Contract):
    """The table. Weights sum to 100 over the routes, or to 0 when nothing can answer yet; weight 0 is reachable by preview only."""

    version: int = VERSION
    epoch: int = Field(ge=0, description="Rises with every write; gateways acknowledge it.")
    pipeline: str
    salt: str = Field("", description="Changes with every rollout; decides, with a session key, who sees the candidate.")
    routes: tuple[Route, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(self.version - VERSION) > 1:
            raise ValueError(f"version: {self.version} is not supported, allowed: {VERSION - 1} to {VERSION + 1}")
        names = [route.revision for route in self.routes]
        if len(set(names)) != len(names):
            raise ValueError(f"routes: a revision appears twice in {names}")
        total = sum(route.weight for route in self.routes)
        if total not in (0, 100):
            raise ValueError(f"routes: weights sum to {total}, allowed: 100, or 0 when nothing answers yet")
        return self

    def to_json(self) -> str:
        """The canonical text that is stored."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> RoutingTable:
        """Parse a stored table. Raises `pydantic.ValidationError` on anything a gateway must not answer by."""
        return cls.model_validate_json(text)


def json_schema() -> dict[str, Any]:
    """The table's JSON Schema, for readers in other languages."""
    return RoutingTable.model_json_schema(by_alias=True)
