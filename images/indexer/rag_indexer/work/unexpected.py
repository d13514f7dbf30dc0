"""What nobody thought of, in one source or one index: it costs that one a try, and not all the others their syncer."""

from __future__ import annotations

import logging
import sqlite3

from rag_indexer.errors import IndexerError
from rag_runtime.milvus.errors import MilvusError

logger = logging.getLogger(__name__)


def told(error: Exception, **where: str) -> str:
    """What to report of it. What is of no kind of ours is logged with its traceback.

    Scratch space that fails is raised again: what was half written there is made anew only with the process.
    """
    if isinstance(error, sqlite3.Error):
        raise error
    if isinstance(error, IndexerError | MilvusError):
        return str(error)
    logger.error("an unexpected error", exc_info=error, extra=where)
    return f"{type(error).__name__}: {error}"
