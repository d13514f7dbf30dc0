"""Between reading and writing: what each document takes in each index, and the vectors for it. Each text is embedded once for all indexes.

An embedder that is away, refuses or fails costs its own indexes their changes in this pass; the others go on without them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rag_indexer.errors import EmbedderError
from rag_indexer.indexing import planning
from rag_indexer.indexing.embedding import Refused
from rag_indexer.indexing.planning import Plan
from rag_indexer.indexing.reading import Document
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_runtime.milvus.rows import Vector

logger = logging.getLogger(__name__)

# How long an embedder may take to say that it is there, where other indexes wait.
AWAY_SECONDS = 5.0
# How long one that fails is asked again, where indexes of other embedders wait.
PATIENCE_SECONDS = 30.0


@dataclass
class Batch:
    """Documents on their way: as read, then with plans and vectors for each index."""

    documents: list[Document]
    wanted: Mapping[str, frozenset[str]]
    plans: dict[str, list[Plan]] = field(default_factory=dict)
    vectors: dict[str, dict[str, Vector]] = field(default_factory=dict)


class Preparing:
    """Prepares what one pass writes into `targets`, which lose those that fell out of it."""

    def __init__(self, targets: Mapping[str, Target], spool: Spool, clock: Callable[[], float]) -> None:
        self._targets = targets
        self._spool = spool
        self._clock = clock
        # Why the changes of an index wait: its embedder was away from the beginning, or failed at them.
        self.away: dict[str, str] = {}
        self.failed: dict[str, str] = {}

    async def leave_out_the_away(self) -> None:
        """Changes wait for the embedder of their own index alone. With one index there is nobody to hold up, and the pass is patient."""
        wanting = [target for target in self._targets.values() if self._spool.planned(target.name)]
        if len(self._targets) == 1:
            return
        answers = await asyncio.gather(*(target.embedder.why_away(AWAY_SECONDS) for target in wanting))
        for target, reason in zip(wanting, answers, strict=True):
            if reason:
                self._leave_out(target.name, reason, self.away)

    async def prepare(self, batch: Batch) -> None:
        """Fill in plans and vectors. Raises `EmbedderError` where one index is all there is."""
        await asyncio.gather(
            *(asyncio.to_thread(self._plan, target, batch) for target in self._targets.values() if self._takes(target.name))
        )
        alike: dict[str, list[str]] = {}
        for name in batch.plans:
            alike.setdefault(self._targets[name].content, []).append(name)
        await asyncio.gather(*(self._embed(batch, names) for names in alike.values()))

    def _takes(self, name: str) -> bool:
        return name not in self.away and name not in self.failed

    def _leave_out(self, name: str, reason: str, why: dict[str, str]) -> None:
        if name not in why:
            logger.warning("its embedder is of no use now; the index waits", extra={"index": name, "reason": reason})
            why[name] = reason
        self._spool.clear_plan(name)

    async def _embed(self, batch: Batch, names: Sequence[str]) -> None:
        """`names` are indexes that cut and embed alike."""
        try:
            answers = await self._targets[names[0]].embedder.embed(_texts(batch, names), patience=self._patience())
        except EmbedderError as error:
            if len(self._targets) == 1:
                raise
            answers = {}
            for name in names:
                if _texts(batch, [name]):
                    self._leave_out(name, str(error), self.failed)
                    del batch.plans[name]
        for name in names:
            if name in batch.plans:
                self._settle(batch, name, answers)

    def _patience(self) -> float:
        return PATIENCE_SECONDS if len({target.content for target in self._targets.values()}) > 1 else float("inf")

    def _plan(self, target: Target, batch: Batch) -> None:
        """What each document takes in one index. Blocks."""
        now = self._clock()
        mine = [document for document in batch.documents if target.name in batch.wanted[document.id]]
        ledger = self._spool.ledger_of(target.name, [document.id for document in mine])
        known = {document.id: ledger.get(document.id) for document in mine}
        plans = [planning.failed(target, document, known[document.id], now) for document in mine if document.parsed is None]
        read = [document for document in mine if document.parsed is not None]
        for document in read:
            if (row := known[document.id]) is not None and planning.is_only_renewed(target, document, row):
                plans.append(Plan(planning.renewed(row, document, now)))
        changed = [document for document in read if not planning.is_only_renewed(target, document, known[document.id])]
        batch.plans[target.name] = plans + planning.plans(target, changed, ledger, now)

    def _settle(self, batch: Batch, name: str, answers: Mapping[str, Vector | Refused]) -> None:
        """A document with a text the model refuses fails as a whole; the others go on."""
        plans = batch.plans[name]
        refused = {text: answer for text, answer in answers.items() if isinstance(answer, Refused)}
        batch.vectors[name] = {text: answer for text, answer in answers.items() if not isinstance(answer, Refused)}
        if not refused:
            return
        documents = {document.id: document for document in batch.documents}
        for position, plan in enumerate(plans):
            reason = next((refused[text] for text in plan.texts.values() if text in refused), None)
            if reason is not None:
                before = self._spool.ledger_of(name, [plan.after.document]).get(plan.after.document)
                document = documents[plan.after.document]
                unreadable = Document(document.id, document.entry, document.content_hash, reason=reason)
                plans[position] = planning.failed(self._targets[name], unreadable, before, self._clock())


def _texts(batch: Batch, names: Iterable[str]) -> set[str]:
    return {text for name in names for plan in batch.plans[name] for text in plan.texts.values()}
