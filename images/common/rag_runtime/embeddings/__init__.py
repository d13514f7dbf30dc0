"""Client of an OpenAI-compatible embeddings server: prompts, lanes, deadlines, retries within a budget, and answers checked.

EmbeddingError
├── RejectedError            the request itself is wrong; repeating it is useless
│   └── TextTooLongError     one text exceeds the model's token limit (`index` says which)
├── InvalidAnswerError       wrong count, dimension or numbers: the upstream cannot be trusted
└── UnavailableError         transport failed or 5xx; another attempt may succeed
    ├── OverloadedError      429 or 503; `retry_after` seconds when the server said so
    └── DeadlineExceededError
"""

from __future__ import annotations

from rag_runtime.embeddings.client import Embedded, EmbeddingsClient
from rag_runtime.embeddings.errors import (
    DeadlineExceededError,
    EmbeddingError,
    InvalidAnswerError,
    OverloadedError,
    RejectedError,
    TextTooLongError,
    UnavailableError,
)

__all__ = [
    "DeadlineExceededError",
    "Embedded",
    "EmbeddingError",
    "EmbeddingsClient",
    "InvalidAnswerError",
    "OverloadedError",
    "RejectedError",
    "TextTooLongError",
    "UnavailableError",
]
