"""Further embedders that questions to an index may go to. Each is compared with it by probe vectors, like the one that fills it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from rag_indexer.work import health
from rag_indexer.work.context import Context
from rag_indexer.work.followed import Followed
from rag_indexer.work.unexpected import told
from rag_runtime.contracts.index import EmbedderAccess, Index
from rag_runtime.contracts.index_status import EmbedderSeen

logger = logging.getLogger(__name__)

# Other indexes wait meanwhile; one that is still starting is asked again after a while.
PATIENCE_SECONDS = 5.0
RETRY_SECONDS = 15.0
AGAIN_SECONDS = 300.0


async def compare(context: Context, followed: Followed) -> None:
    """Compare each of them with the index, when that is due."""
    if followed.target.cold:
        followed.compare_at = float("inf")
    if followed.compare_at > time.monotonic():
        return
    answered = [await _compared(context, followed, access) for access in followed.index.spec.compare]
    pause = (AGAIN_SECONDS if all(answered) else RETRY_SECONDS) if answered else float("inf")
    followed.compare_at = time.monotonic() + pause
    tell(followed)


def tell(followed: Followed) -> None:
    """Report what was observed of the index, and each embedder."""
    own, *_ = embedders = _seen(followed)
    if own.probes != "Unknown":
        followed.verdicts[own.url] = own
    if followed.observed is not None:
        followed.report.observed(followed.observed.model_copy(update={"embedders": embedders}))


async def _compared(context: Context, followed: Followed, access: EmbedderAccess) -> bool:
    """False: it could not be asked. What was seen of it before still counts."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            model = await context.renewed(access, PATIENCE_SECONDS)
            equal = await health.check_probes(followed.target, model, followed.index.spec.identity.content.dimensions, store=False)
    except Exception as error:
        # A timeout and a key that is not mounted yet are as good as an embedder that is away.
        reason = str(error) if isinstance(error, OSError) else told(error, index=followed.target.name, embedder=access.url)
        logger.info("an embedder was not compared", extra={"index": followed.target.name, "embedder": access.url, "reason": reason})
        return False
    followed.verdicts[access.url] = EmbedderSeen.model_validate(
        {"url": access.url, "probes": equal, "model_fingerprint": model.card.fingerprint}
    )
    return True


def _seen(followed: Followed) -> tuple[EmbedderSeen, ...]:
    """The embedder that fills the index as it is now, and what is known of the others."""
    spec = followed.index.spec
    own = EmbedderSeen.model_validate(
        {"url": spec.embedder.url, "probes": followed.equal, "model_fingerprint": followed.model.card.fingerprint}
    )
    return (own, *(followed.verdicts.get(access.url) or EmbedderSeen(url=access.url) for access in spec.compare))


def remembered(verdicts: Mapping[str, EmbedderSeen] | None, index: Index) -> dict[str, EmbedderSeen]:
    """What was seen, by this syncer or the one before it, of embedders that still matter: one that comes back is asked anew."""
    said = index.status.observed.embedders if index.status is not None and index.status.observed is not None else None
    known = verdicts if verdicts is not None else {embedder.url: embedder for embedder in said or ()}
    urls = {access.url for access in (index.spec.embedder, *index.spec.compare)}
    return {url: embedder for url, embedder in known.items() if url in urls}
