"""A simulated cluster: what takes time takes simulated time, and everything that happens is a line of the log.

Embedders start pods and follow load, indexes build and catch up, gateways hear of a table later and finish streams by the old one,
evaluations take a while. Whatever changes wakes the operator. Nothing here decides: it does what it is told, as a cluster would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rag_operator.model import codec
from rag_operator.model.observed import AnalysisReading, EvaluationReading, TableState
from rag_operator.model.plan import Record
from rag_operator.model.revision import Component, Revision
from simulation.parts import Gateway, Part, pods_for
from simulation.readings import reading, traffic
from simulation.specs import IMMEDIATE, spec
from simulation.timeline import Timeline


class World(Timeline):
    """The cluster, its clock and its log."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)
        self.spec = spec("A", IMMEDIATE)
        self.letter = "A"
        self.policy: dict[str, Any] = IMMEDIATE
        self.reference_missing = False
        self.verbs: dict[str, str] = {}
        self.status: dict[str, Any] = {}
        self.status_version = 0
        self._loaded: tuple[int, Record] = (0, Record())
        self.revisions: dict[str, Revision] = {}
        self.parts: dict[str, Part] = {}
        self.table: TableState | None = None
        self.tables: dict[int, dict[str, int]] = {}
        self.measured = 0  # epoch of the table whose traffic autoscalers know of
        self.shrunk: list[tuple[str, int, int]] = []  # what an autoscaler made too small for traffic that it did not know of yet
        self.gateways = [Gateway("gateway-0"), Gateway("gateway-1")]
        self.evaluations: dict[tuple[str, str, int], EvaluationReading] = {}
        self.results: dict[str, str] = {}  # letter -> what its evaluation will say
        self.foreign: set[str] = set()  # letters whose embedder has other weights than it says
        self.troubled: set[str] = set()  # letters whose answers fail in live traffic
        self.unplaceable: set[str] = set()  # letters whose embedder gets no GPU
        self.failing_builds: dict[str, int] = {}  # letter -> builds that fail; 3 is final
        self.metrics_readable = True
        self.adopted: tuple[str, ...] = ()
        self.deleted: set[str] = set()  # components that somebody deleted and that do not stand again yet
        self.had: dict[str, int] = {}  # pods that were ready last, and those lost before, by component
        self.skew = 0.0  # how far the operator's clock is off
        self.waiting: dict[str, Callable[[], None]] = {}  # builds that wait for an embedder
        self._uids = 0
        self.wake: Callable[[], None] = lambda: None

    def stored(self) -> Record:
        """Return what status holds, as the operator would read it."""
        if self._loaded[0] != self.status_version:
            self._loaded = (self.status_version, codec.load(self.status))
        return self._loaded[1]

    # -- people -------------------------------------------------------------

    def apply(self, letter: str, policy: dict[str, Any] | None = None, *, suspend: bool = False) -> None:
        """Somebody applies a spec."""
        self.policy = self.policy if policy is None else policy
        self.letter, self.spec = letter, spec(letter, self.policy, suspend=suspend)
        self.say(f"user: apply {letter}" + (" suspended" if suspend else ""))
        self.wake()

    def annotate(self, verb: str, value: str) -> None:
        """Somebody uses a verb."""
        self.verbs = {**self.verbs, f"ragops.dev/{verb}": value}
        self.say(f"user: {verb} {value}")
        self.wake()

    # -- components ---------------------------------------------------------

    def record(self, revision: Revision) -> None:
        """A ControllerRevision is created; one that stands is not changed."""
        self.revisions.setdefault(revision.name, revision)

    def create(self, component: Component, collection: str) -> None:
        """A component's objects are created."""
        self._uids += 1
        part = Part(component, self._uids, collection=collection)
        letter = self.names.get(component.name, "?").split("-")[0]
        part.failures_left = self.failing_builds.get(letter, 0)
        part.lost = self.had.get(component.name, 1) if component.name in self.deleted else 0
        if component.kind == "index":
            part.made_by = next((r.embedder.name for r in self.revisions.values() if r.index.name == component.name), "")
        self.parts[component.name] = part
        self.deleted.discard(component.name)
        self.say(f"create {component.name}")
        if component.kind == "index":
            self.after(60, lambda: self._build(part, 0))
        elif letter in self.unplaceable:
            part.message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
        else:
            self.scale(part)
            self.after(30, self.autoscale)

    def scale(self, part: Part) -> None:
        """The autoscaler looks at a workload."""
        self.after(20, lambda: self._pods(part))

    def touch(self, part: Part) -> None:
        """Something about a part changed."""
        part.version += 1
        self.wake()

    def exists(self, part: Part) -> bool:
        """Whether this very object still stands."""
        return self.parts.get(part.name) is part

    def _pods(self, part: Part) -> None:
        if self.exists(part) and not part.hurt and not part.message and part.pods != part.wanted_pods:
            part.grown()
            self.had[part.name] = max(part.pods, part.lost)
            self.say(f"{part.name}: {part.pods} pods ready")
            self.touch(part)
            waiting, self.waiting = self.waiting, {}
            for goes_on in waiting.values():
                self.after(1, goes_on)
            for index in self.parts.values():
                if part.pods and index.made_by and index.made_by != part.name and self._feeds(part, index):
                    self.after(15, lambda index=index: self._compare(part, index))  # type: ignore[misc]

    def _compare(self, embedder: Part, index: Part) -> None:
        if self.exists(embedder) and self.exists(index) and embedder.pods and embedder.name not in index.compared:
            index.compared.add(embedder.name)
            self.say(f"{index.name}: compared with {embedder.name}")
            self.touch(index)

    def load(self, name: str) -> int:
        """Return how many replicas a revision's share of the traffic needs."""
        return pods_for(self.table.weights.get(name, 0) if self.table else 0)

    def needed(self, part: Part) -> int:
        """Return how many replicas all the traffic of an embedder needs."""
        weights = self.table.weights if self.table else {}
        return pods_for(sum(weights.get(name, 0) for name, revision in self.revisions.items() if revision.embedder.name == part.name))

    def autoscale(self) -> None:
        """Autoscalers follow the traffic as it was measured, never below their floor."""
        for part in self.parts.values():
            if part.component.kind == "index" or part.wanted_pods == 0:
                continue
            users = [name for name, revision in self.revisions.items() if part.name == revision.embedder.name]
            known = self.tables.get(self.measured, {})
            wanted = max(1, part.floor, sum(pods_for(known.get(name, 0)) for name in users))
            if wanted < min(part.wanted_pods, sum(self.load(name) for name in users)):
                self.shrunk.append((part.name, part.wanted_pods, wanted))
            if wanted != part.wanted_pods:
                part.wanted_pods = wanted
                self.scale(part)

    def _build(self, part: Part, done: int) -> None:
        if not self.exists(part) or part.collecting or part.work != "Build":
            return
        embedder = next((p for p in self.parts.values() if p.component.kind == "embedder" and self._feeds(p, part)), None)
        if part.failures_left and done == 2:
            self._fail_build(part)
        elif embedder is None or not embedder.pods:
            self.waiting[part.name] = lambda: self._build(part, done)
        elif done < 4:
            part.progress += 250
            self.touch(part)
            self.after(300, lambda: self._build(part, done + 1))
        else:
            self._built(part)

    def _fail_build(self, part: Part) -> None:
        part.failures_left -= 1
        self.say(f"{part.name}: a build Job failed")
        letter = self.names[part.name].split("-")[0]
        if not part.failures_left and self.failing_builds[letter] >= 3:
            part.failed, part.message = True, "3 builds failed: source docs: access denied"
            self.touch(part)
        else:
            self.after(120, lambda: self._build(part, 0))

    def _feeds(self, embedder: Part, index: Part) -> bool:
        return any(r.embedder.name == embedder.name and r.index.name == index.name for r in self.revisions.values())

    def _built(self, part: Part) -> None:
        part.built, part.work = True, "Sync"
        self.say(f"{part.name}: built")
        self.touch(part)
        self.after(90, lambda: self._catch_up(part))

    def _catch_up(self, part: Part) -> None:
        if self.exists(part) and part.work == "Sync" and not part.cold:
            part.caught_up, part.behind = True, False
            self.say(f"{part.name}: caught up")
            self.touch(part)

    def stop(self, part: Part) -> None:
        """Indexers are told to let go of an index, and do so later."""
        part.work = "Stop"
        self.touch(part)
        self.after(15, lambda: self._let_go(part))

    def resume(self, part: Part) -> None:
        """An index that was stopped is wanted again."""
        part.work, part.stopped, part.caught_up = ("Sync" if part.built else "Build"), False, False
        self.touch(part)
        self.after(60, (lambda: self._catch_up(part)) if part.built else (lambda: self._build(part, 0)))

    def temper(self, part: Part, *, cold: bool) -> None:
        """Indexers are told to take an index out of memory, perhaps at once, so nobody may ask it; or to load it, a while later."""
        part.cold, part.woken = cold, not cold
        if cold:
            part.loaded, part.caught_up, part.behind = False, False, True
        else:
            self.after(40, lambda: self._warmed(part))
        self.touch(part)

    def _warmed(self, part: Part) -> None:
        if self.exists(part) and not part.cold and not part.loaded:
            part.loaded = True
            self.say(f"{part.name}: loaded")
            self.touch(part)
            self.after(60, lambda: self._catch_up(part))

    def _let_go(self, part: Part) -> None:
        if self.exists(part) and part.work == "Stop":
            part.stopped = True
            self.touch(part)

    def drop(self, part: Part) -> None:
        """Indexers are told to drop an index's collections."""
        self.after(20, lambda: self._dropped(part))

    def _dropped(self, part: Part) -> None:
        if self.exists(part) and part.collecting and not part.dropped:
            part.dropped = True
            self.say(f"{part.name}: collections dropped")
            self.touch(part)

    # -- gateways -----------------------------------------------------------

    def publish(self, weights: dict[str, int], salt: str, epoch: int) -> None:
        """A routing table is stored; gateways hear of it later, and streams that run go on by the old one."""
        self.table = TableState(epoch, weights, salt, str(epoch))
        self.tables[epoch] = weights
        if self.measured:
            self.after(60, lambda: self._measure(epoch))
        else:
            self._measure(epoch)
        for gateway in self.gateways:
            self.after(0.5, lambda gateway=gateway: self._hear(gateway, epoch))  # type: ignore[misc]

    def _measure(self, epoch: int) -> None:
        self.measured = max(self.measured, epoch)
        self.autoscale()

    def _hear(self, gateway: Gateway, epoch: int) -> None:
        if gateway.deaf or gateway not in self.gateways or epoch <= gateway.served:
            return
        if gateway.served:
            old = gateway.served
            gateway.streams.append(old)
            self.after(30, lambda: self._finish(gateway, old))
        gateway.served = epoch
        self.wake()

    def _finish(self, gateway: Gateway, epoch: int) -> None:
        if epoch in gateway.streams:
            gateway.streams.remove(epoch)
            self.wake()

    def hear_again(self, gateway: Gateway) -> None:
        """A gateway can be reached again."""
        gateway.deaf = False
        if self.table is not None:
            self._hear(gateway, self.table.epoch)
        self.wake()

    # -- gates --------------------------------------------------------------

    def evaluate(self, stable: str, candidate: str, attempt: int) -> None:
        """An evaluation Job is created."""
        asked = (stable, candidate, attempt)
        self.evaluations[asked] = EvaluationReading(stable, candidate, attempt, running=True)
        self.say(f"evaluation {attempt} of {candidate} against {stable} starts")
        self.after(120, lambda: self._evaluated(asked))

    def _evaluated(self, asked: tuple[str, str, int]) -> None:
        if asked in self.evaluations:
            self.evaluations[asked] = reading(asked, self.results.get(self.names[asked[1]], "better"))
            self.wake()

    def traffic(self, since: float, stable: str, candidate: str) -> AnalysisReading | None:
        """Return the live traffic of both sides since a time."""
        if self.table is None or not self.metrics_readable:
            return None
        return traffic(self.now - since, self.table.weights.get(candidate, 0), troubled=self.names[candidate] in self.troubled)
