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
from simulation.invariants import BrokenError, Invariants, after_acting, at_rest, left_open, while_suspended
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
    """The operator's process ended: before a write or after it."""


class HungError(Exception):
    """The leader hangs with a write under way, its lease runs out, and another one takes over."""


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
        self.restarts = False  # the operator dies after every write
        self._hangs: Callable[[Pass, Write], bool] = lambda passed, write: False
        self._hung: list[tuple[Pass, Write]] = []
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
        self.invariants.fail(list(while_suspended(passed)))
        try:
            self._send(passed)
            self.invariants.fail(list(after_acting(passed)))
        except ConflictError:
            self.wake()
        except DiedError as died:
            self.world.say(f"the operator dies {died} and starts again")
            self.due = self.world.now + 10.0
        except HungError as hung:
            self.world.say(f"the leader hangs before: {hung}; another one takes over")
            self.due = self.world.now + 1.0
        if not self.world.calm and self.world.chance.random() < 0.5:
            self._arrive()

    def _send(self, passed: Pass) -> None:
        for write in passed.writes:
            self._hang(passed, write)
            self._fault(passed, write)
            crash = self.crash if self.crash and self.crash.write == self.writes.total() else None
            self.writes[write.what.split()[0]] += 1
            if crash and not crash.after:
                raise DiedError(f"before: {write.what}")
            write.send()
            self.invariants.check(passed)
            if crash or self.restarts:
                raise DiedError(f"after: {write.what}")

    def _fault(self, passed: Pass, write: Write) -> None:
        if self.world.calm:
            return
        dice = self.world.chance.random()
        if dice < 0.03:
            raise DiedError(f"before: {write.what}")
        if dice < 0.06:
            write.send()
            self.invariants.check(passed)
            raise DiedError(f"after: {write.what}")
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
        self._land(arriving)
        return bool(arriving)

    def _land(self, arriving: list[tuple[Pass, Write]]) -> None:
        for passed, write in arriving:
            try:
                write.send()
                self.world.say(f"a late leader's write arrived: {told(passed, write)}")
            except ConflictError:
                self.world.say(f"a late leader's write was refused: {told(passed, write)}")
            self.invariants.check(passed)
            self.wake()

    # -- a leader that hangs ------------------------------------------------

    def hangs(self, before: Callable[[Pass, Write], bool]) -> Condition:
        """Let the leader hang before the first such write; the condition holds when it does, with the write under way."""
        self._hangs = before
        return lambda run: bool(run._hung)

    def goes_on(self) -> None:
        """The old leader goes on: its write arrives."""
        arriving, self._hung = self._hung, []
        self._land(arriving)

    def _hang(self, passed: Pass, write: Write) -> None:
        if self._hangs(passed, write):
            self._hangs = lambda passed, write: False
            self._hung.append((passed, write))
            raise HungError(told(passed, write))


def told(passed: Pass, write: Write) -> str:
    """Return a write in words."""
    reasons = [note.reason for note in passed.plan.notes if write.what == "status"]
    return f"{write.what} ({', '.join(reasons)})" if reasons else write.what


# -- conditions ---------------------------------------------------------------


def rested(run: Run) -> bool:
    """Nothing is under way: the next thing to happen, if any, is a timer far away."""
    if run.late or run.world.next_time() < float("inf") or run.due - run.world.now < FAR:
        return False
    run.invariants.fail(list(at_rest(begin(run.world, run.planner))))
    return True


def over(run: Run) -> bool:
    """Nothing will ever happen any more, and no rollout was left open."""
    if not rested(run) or run.due < float("inf"):
        return False
    run.invariants.fail(list(left_open(run.record)))
    return True


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
