"""The one pass. It reads like the six steps, begins from nothing but the cluster, and can be repeated from the top at any point."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from rag_operator import errors
from rag_operator.controller import analysis, decide, deletion, execute, failures, leaving
from rag_operator.controller.decide import Decided, Given
from rag_operator.controller.mirror import Key
from rag_operator.controller.observe import Capabilities, Observer, Seen
from rag_operator.controller.report import Reporter
from rag_operator.controller.writer import Writer
from rag_operator.desired.context import Surroundings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a pass ended. `again_after`: seconds; `error`: what to back off for."""

    exists: bool
    again_after: float | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class Tools:
    """What a pass works with. Time and chance are functions, so that tests decide them."""

    observer: Observer
    writer: Writer
    reporter: Reporter
    templates: dict[str, str]
    clock: Callable[[], float]
    suffix: Callable[[], str]
    deletion_give_up: float


class Reconciler:
    """Brings one pipeline after another to its spec."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._baselines = tools, analysis.Baselines(tools.clock)

    async def reconcile(self, key: Key, capabilities: Capabilities, surroundings: Surroundings) -> Outcome:
        """One pass over one pipeline."""
        tools, now = self._tools, self._tools.clock()
        seen = await tools.observer.look(key, capabilities)  # I/O
        if seen is None:
            await tools.writer.release_indexes(key)  # I/O
            return Outcome(exists=False)
        if seen.deleting:
            return Outcome(True, await deletion.dismantle(self._means(surroundings, now), seen))  # I/O
        judged = decide.judge(seen)  # pure
        decided = decide.decide(seen, judged, Given(tools.templates, self._baselines, tools.suffix(), now))  # pure
        error = await self._carry_out(seen, decided, surroundings, now)  # build: pure, apply: I/O
        failure = failures.verdict(error).failure if error is not None else None
        if error is not None and failure is None:
            return Outcome(True, error=error)  # a race: until the next pass nothing is claimed of this generation
        seen = tools.observer.again(seen)  # what was just made is there
        again = await tools.reporter.report(seen, judged, decide.refreshed(seen, decided), failure, now)  # status: one write
        return Outcome(True, again, error)

    def _means(self, surroundings: Surroundings, now: float) -> deletion.Means:
        tools = self._tools
        return deletion.Means(tools.writer, tools.reporter, tools.templates, surroundings, now, tools.deletion_give_up)

    def forget(self, key: Key) -> None:
        """The pipeline does not exist any more."""
        self._tools.reporter.forget(key)

    async def _carry_out(self, seen: Seen, decided: Decided | None, surroundings: Surroundings, now: float) -> Exception | None:
        if decided is None or decided.plan.moved:
            return None  # a new position is recorded before anything is done about it
        try:
            await leaving.let_go(self._tools.writer, seen)
            # Deleting a pipeline that is suspended needs us all the same.
            await deletion.hold(self._tools.writer, seen, decided)
            if (seen.spec or decided.newest.spec).suspend:
                await deletion.hold_indexes(self._tools.writer, seen, decided)
                return None
            await self._tools.writer.release_indexes(seen.key)
            manifests = decide.build(seen, decided, surroundings, now)
            await execute.execute(self._tools.writer, seen, decided, manifests)
        except errors.LeadershipLost:
            raise
        except errors.ApiError as error:
            return error
        except Exception as error:
            log.exception("a defect of the operator", extra={"pipeline": seen.key.name, "namespace": seen.key.namespace})
            return error
        return None
