"""What ends a command, and with which exit code.

IndexerError            1: failed, worth another attempt
├── SourceError         a source cannot be listed or read as a whole
├── EmbedderError       the embedder does not answer, or not as it must; SlowEmbedderError: not in time
└── PermanentError      2: another attempt is useless before something is changed
    └── NotAllowedError 3: refused, because it would harm what is not ours, or this server cannot do it
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class IndexerError(Exception):
    """A command could not do its work."""

    exit_code = 1


class SourceError(IndexerError):
    """A source that cannot be listed. Nothing may be concluded from what was listed before it failed."""


class EmbedderError(IndexerError):
    """The embedder is away, or its answers cannot be used."""


class SlowEmbedderError(EmbedderError):
    """The embedder is there and takes too long: it may be busy."""


class PermanentError(IndexerError):
    """The configuration is wrong."""

    exit_code = 2


class NotAllowedError(PermanentError):
    """What was asked for is refused."""

    exit_code = 3


class DocumentError(Exception):
    """One document cannot be read, parsed or embedded. It never stops the others. `permanent`: only a change of the document helps."""


@contextmanager
def only_this_document(doing: str) -> Iterator[None]:
    """Whatever is raised inside is the document's fault and becomes a `DocumentError`: parsers meet files that nobody thought of."""
    try:
        yield
    except (DocumentError, MemoryError):
        raise
    except Exception as error:
        raise DocumentError(f"cannot be {doing}: {type(error).__name__}: {error!s:.200}") from error
