"""Runs a story: lets the world and the operator take turns until what the story waits for has happened.

A story is a generator that acts and yields conditions. With a seed, delays are of chance, writes get lost, the operator dies
between writes, a leader that lost its lease still has one write under way, and parts of the cluster fail and heal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass

from rag_operator.model.plan import Record
from rag_operator.rollout.planner import plan
from simulation.chaos import unleash
from simulation.invariants import BrokenError, Invariants, after_acting, at_rest
from simulation.operate import ConflictError, Pass, Planner, Write, begin
from simulation.specs import revision
from simulation.timeline import START
from simulation.world import World

Condition = Callable[["Run"], bool]
Story = Callable[["Run"], Generator[Condition, None, None]]

LONGEST = 14 * 24 * 3600.0  # simulated seconds
FAR = 3600.0  # a timer that is further away than this does not keep anybody busy
MOST_PASSES = 6000


@dataclass(frozen=True)
class Crash:
    """The operator dies at its n-th write: before it, or after it without having seen the answer."""

    write: int
    after: bool


class DiedError(Exception):
    """The operator's process ended."""


class Run:
    """One story in one world."""

    def __init__(self, seed: int | None = None, *, planner: Planner = plan, crash: Crash | None = None) -> None:
        self.world = World(seed)
        self.world.wake = self.wake
        self.planner = planner
        self.crash = crash
        self.invariants = Invariants(self.world)
        self.due = float("inf")
        self.writes: Counter[str] = Counter()
        self.passes = 0
        self.late: list[tuple[Pass, Write]] = []
        self.watched: list[Callable[[Pass], None]] = []  # told of every pass before it writes
        if seed is not None:
            unleash(self.world)

    @property
    def record(self) -> Record:
        """What status holds."""
        return self.world.stored()

    def wake(self) -> None:
        """Something changed: the operator looks soon."""
        latency = 0.2 if self.world.calm else self.world.chance.uniform(0.01, 5.0)
        self.due = min(self.due, self.world.now + latency)

    def tell(self, story: Story) -> Run:
        """Run a story to its end and return the run."""
        for condition in story(self):
            self._until(condition)
        return self

    def _until(self, condition: Condition) -> None:
        while not condition(self):
            if self.world.now - START > LONGEST or self.passes > MOST_PASSES or not self._turn():
                raise BrokenError("\n".join((*self.world.lines, ">>> what the story waits for never happened")))

    def _turn(self) -> bool:
        if min(self.due, self.world.next_time()) - self.world.now >= FAR and self._arrive():
            return True  # a write is not under way for hours
        if self.due <= self.world.next_time():
            if self.due == float("inf"):
                return self._arrive()
            self.world.now, self.due = max(self.world.now, self.due), float("inf")
            self._pass()
        else:
            self.world.step()
        self.invariants.check()
        return True

    def _pass(self) -> None:
        self.passes += 1
        passed = begin(self.world, self.planner)
        for look in self.watched:
            look(passed)
        if passed.plan.requeue_after is not None:
            self.due = min(self.due, self.world.now + max(passed.plan.requeue_after, 0.05))
        try:
            self._send(passed)
            self.invariants.fail(list(after_acting(passed)))
        except ConflictError:
            self.wake()
        except DiedError:
            self.world.say("the operator died and starts again")
            self.due = self.world.now + 10.0
        if not self.world.calm and self.world.chance.random() < 0.5:
            self._arrive()

    def _send(self, passed: Pass) -> None:
        for write in passed.writes:
            self._fault(passed, write)
            crash = self.crash if self.crash and self.crash.write == self.writes.total() else None
            self.writes[write.what.split()[0]] += 1
            if crash and not crash.after:
                raise DiedError
            write.send()
            self.invariants.check(passed)
            if crash:
                raise DiedError

    def _fault(self, passed: Pass, write: Write) -> None:
        if self.world.calm:
            return
        dice = self.world.chance.random()
        if dice < 0.03:
            raise DiedError
        if dice < 0.06:
            write.send()
            self.invariants.check(passed)
            raise DiedError
        if dice < 0.09:
            self.wake()
            raise ConflictError  # the API server did not answer
        if dice < 0.12:
            self.late.append((passed, write))  # this leader hangs; another one takes over
            self.due = self.world.now + 1.0
            raise ConflictError

    def _arrive(self) -> bool:
        # Writes that were under way when the lease was lost arrive after a pass of the successor.
        arriving, self.late = self.late, []
        for passed, write in arriving:
            try:
                write.send()
                self.world.say(f"a late leader's write arrived: {write.what}")
            except ConflictError:
                self.world.say(f"a late leader's write was refused: {write.what}")
            self.invariants.check(passed)
            self.wake()
        return bool(arriving)


# -- conditions ---------------------------------------------------------------


def rested(run: Run) -> bool:
    """Nothing is under way: the next thing to happen, if any, is a timer far away."""
    if run.late or run.world.next_time() < float("inf") or run.due - run.world.now < FAR:
        return False
    run.invariants.fail(list(at_rest(begin(run.world, run.planner))))
    return True


def over(run: Run) -> bool:
    """Nothing will ever happen any more."""
    return rested(run) and run.due == float("inf")


def weight(letter: str, share: int) -> Condition:
    """The routing table gives a revision this share."""
    return lambda run: run.world.table is not None and run.world.table.weights.get(revision(letter).name) == share


def phase(letter: str, name: str) -> Condition:
    """A candidate is in this phase."""

    def holds(run: Run) -> bool:
        rollout = run.record.rollout
        return rollout is not None and rollout.candidate == revision(letter).name and rollout.phase == name

    return holds


def waits_for(what: str) -> Condition:
    """The candidate waits for an approval."""
    return lambda run: (rollout := run.record.rollout) is not None and rollout.waiting_for == what


def passed(seconds: float) -> Condition:
    """Some time has passed since this condition was first looked at."""
    start: list[float] = []

    def holds(run: Run) -> bool:
        if not start:
            start.append(run.world.now)
            run.world.at(run.world.now + seconds, lambda: None)
        return run.world.now - start[0] >= seconds

    return holds
