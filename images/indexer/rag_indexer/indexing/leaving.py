"""Indexes that fall out of a pass, each for a reason of its own. The others go on without them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target

logger = logging.getLogger(__name__)


class LeftOut:
    """Those of `targets` that fell out of one pass."""

    def __init__(self, targets: Mapping[str, Target], spool: Spool) -> None:
        self._targets = targets
        self._spool = spool
        self.why: dict[str, Exception] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.why

    def add(self, name: str, error: Exception) -> None:
        """Go on without an index, and plan nothing more for it. Raises `error` where it is all there is."""
        if len(self._targets) == 1:
            raise error
        if name not in self.why:
            logger.warning("an index falls out of the pass", extra={"index": name, "reason": str(error)})
            self.why[name] = error
        self._spool.clear_plan(name)
