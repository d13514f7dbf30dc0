"""A build that several pods share: each notes its share in the index itself, and whoever finds all done finishes the build."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import orjson

from rag_runtime.contracts import collections as names
from rag_runtime.milvus.port import IndexStore
from rag_runtime.milvus.rows import LedgerRow


@dataclass(frozen=True)
class Share:
    """How far one pod is."""

    documents: int = 0
    chunks: int = 0
    total: int = 0  # 0 until every source is listed
    failed: int = 0
    embedded: int = 0
    started: float = 0.0
    done: bool = False
    ignored: tuple[str, ...] = ()  # by the server, in words: one pod looks, whichever is last tells
    before: int = 0  # documents that an earlier attempt had written


def bounds(share: int, parallelism: int) -> tuple[int, int]:
    """The buckets of a share: `low` to `high` - 1."""
    return names.BUCKETS * share // parallelism, names.BUCKETS * (share + 1) // parallelism


def note(store: IndexStore, attempt: int, number: int, share: Share) -> None:
    """Write a share down."""
    reason = orjson.dumps(asdict(share)).decode()
    store.put_ledger([LedgerRow(_name(attempt, number), "", names.STATE_META, reason=reason, updated=int(time.time()))])


def noted(store: IndexStore, attempt: int, parallelism: int) -> list[Share]:
    """What the pods have written down; a pod that has not begun has an empty share."""
    wanted = [_name(attempt, number) for number in range(parallelism)]
    rows = store.ledger_of(wanted)
    return [Share(**orjson.loads(rows[name].reason)) if name in rows else Share() for name in wanted]


def together(shares: Iterable[Share]) -> Share:
    """The whole build."""
    known = list(shares)
    return Share(
        documents=sum(share.documents for share in known),
        chunks=sum(share.chunks for share in known),
        # What some pods have listed is no total.
        total=sum(share.total for share in known) if all(share.total or share.done for share in known) else 0,
        failed=sum(share.failed for share in known),
        embedded=sum(share.embedded for share in known),
        started=min((share.started for share in known if share.started), default=0.0),
        done=all(share.done for share in known),
        ignored=tuple(line for share in known for line in share.ignored),
        before=sum(share.before for share in known),
    )


def _name(attempt: int, number: int) -> str:
    return f"{names.META_PREFIX}build/{attempt}/{number}"
