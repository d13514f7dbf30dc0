"""What an embedder says about itself and its limits: the answer of `/v1/models` that server and clients share.

An OpenAI-compatible server of someone else answers without the `rag` object; everything in it is then unknown, never guessed.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

MAX_INPUTS = 2_048  # texts in one call; one more is refused
CARD_KEY = "rag"

PATH_EMBEDDINGS = "/v1/embeddings"
PATH_MODELS = "/v1/models"
PATH_TOKENIZER = "/v1/tokenizer"  # the model's tokenizer.json, for chunkers

PRECISION_EIGHT_BIT = "int8"  # `precision` of a card: vectors are near those of the other precisions, not equal

# `code` of an error answer that a caller acts on.
CODE_TEXT_TOO_LONG = "context_length_exceeded"
CODE_OVERLOADED = "overloaded"
CODE_MODEL_NOT_FOUND = "model_not_found"


class ModelCard(BaseModel):
    """One served model: its identity, size, limit and the prompts it was trained with."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    id: str = Field(description="The name clients ask for.")
    fingerprint: str | None = Field(None, description="Digest of what decides the vectors; null: the server does not say.")
    revision: str | None = Field(None, description="Commit of the weights, when they come from a hub.")
    dimensions: int | None = Field(None, description="Length of a vector when the request names none.")
    max_tokens: int | None = Field(None, description="Token limit of one text, special tokens included.")
    query_prompt: str = Field("", description="The model's own text before a query.")
    document_prompt: str = Field("", description="The model's own text before a document.")
    pooling: str | None = None
    normalized: bool | None = None
    engine: str | None = Field(None, description="What computes: informative, no part of the identity.")
    precision: str | None = None

    def to_entry(self) -> dict[str, Any]:
        """This card as an entry of the OpenAI model list."""
        extra = self.model_dump(by_alias=True, exclude={"id"}, exclude_none=True)
        return {"id": self.id, "object": "model", "created": 0, "owned_by": "rag-operator", CARD_KEY: extra}

    @classmethod
    def from_entry(cls, entry: dict[str, Any]) -> ModelCard:
        """Read an entry of any server's model list. Raises `pydantic.ValidationError` when it has no usable id."""
        extra = entry.get(CARD_KEY)
        return cls.model_validate({**(extra if isinstance(extra, dict) else {}), "id": entry.get("id")})
