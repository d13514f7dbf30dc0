"""Intents with reasons: what the planner decides and `controller/execute.py` carries out. Everything here is a value."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["stable", "candidate", "retired", "leaving"]
RolloutPhase = Literal["Provisioning", "Indexing", "CatchingUp", "Evaluating", "WarmingUp", "Shifting", "Promoted"]
# How a rollout ends, in one of four ways; `RolledBack` is how a revision that had served is left again.
Ending = Literal["Promoted", "Aborted", "Superseded", "Reverted", "RolledBack"]


@dataclass(frozen=True)
class Note:
    """A transition worth an Event. `reason` is a CamelCase constant."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Keep:
    """A revision whose components must stand, and how large."""

    revision: str
    role: Role
    floors: Mapping[str, int] = field(default_factory=dict)  # component name -> minReplicas, only ever raised by the operator
    idle: bool = False  # scale its own workloads to 0 (aborted or cold, after abortDelay)

    def may_answer(self, listed: Collection[str]) -> bool:
        """Whether gateways may have to answer by it: one that lost its place is answered by only while a table lists it."""
        return self.role != "leaving" or self.revision in listed


@dataclass(frozen=True)
class TableIntent:
    """The routing table to write. The epoch is chosen when it is written: max(status, table, gateways) + 1."""

    weights: Mapping[str, int]
    salt: str
    why: str


@dataclass(frozen=True)
class EvaluationIntent:
    """An evaluation Job that should run or have run."""

    stable: str
    candidate: str
    attempt: int
    layout_only: bool = False
    began: float = 0.0  # when the rollout started: another rollout of the same two asks again


@dataclass(frozen=True)
class Collect:
    """One component to take away, and the next step of doing so. Steps come in the order of design section 4."""

    component: str
    kind: Literal["embedder", "index", "generator"]
    step: Literal["StopWriters", "MarkCollecting", "Drop", "Delete"]
    why: str


@dataclass(frozen=True)
class Gate:
    """One gate's verdict with its numbers."""

    name: Literal["evaluation", "analysis"]
    outcome: Literal["Passed", "Failed", "Inconclusive", "NotApplicable", "Running"]
    message: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rollout:
    """The candidate's position. Stored in status; times are seconds since the epoch."""

    candidate: str
    phase: RolloutPhase
    step: int = 0  # steps of the strategy that are done
    steps: int = 0  # steps in all
    step_since: float = 0.0
    started: float = 0.0
    weight: int = 0  # what the candidate has now, while it is ready
    weight_since: float = 0.0  # when the weight last changed: the online gate reads from here on
    analysis_policy: str = ""  # digest of what the online gate was asked
    floors: Mapping[str, int] = field(default_factory=dict)  # what stable ran when it had the traffic, by component name
    progress: int = 0  # highest sum of progress marks seen
    progress_of: str = ""  # UID of the index that they are of: one that is made anew begins at 0
    progress_since: float = 0.0  # when it last grew; pauses push it forward
    overdue_since: float = 0.0  # when the deadline was first seen to have passed; a clock that jumped looks like that, too
    waiting_for: str = ""  # "", or what `promote` must name: `<step>` or a gate
    approved: tuple[str, ...] = ()
    attempt: int = 0  # counts the verb retry
    evaluation_attempt: int = 1
    evaluation_first: int = 1  # the attempt that was asked for by a policy or a person; those after it repeat it
    evaluation_policy: str = ""  # digest of spec.rollout.evaluation: another policy is another evaluation
    paused: bool = False  # the time since progress_since does not count: a pause, an approval, suspension
    gates: tuple[Gate, ...] = ()
    held: str = ""  # why it does not move, in words
    back: bool = False  # a person goes back to a cold revision: no steps, no gates, and what was stable is rejected in the end


@dataclass(frozen=True)
class Retired:
    """A revision kept for rollback."""

    revision: str
    until: float
    floors: Mapping[str, int] = field(default_factory=dict)
    idle_at: float = 0.0  # when it may go cold, if that is the policy


@dataclass(frozen=True)
class Leaving:
    """A revision that lost its place: idle at `idle_at`, then collected."""

    revision: str
    idle_at: float
    why: str
    floors: Mapping[str, int] = field(default_factory=dict)  # of both sides, until nobody can use it any more


@dataclass(frozen=True)
class Settling:
    """What stable ran when all the traffic came to it: its autoscaler knows of that only later, and must not undo it before."""

    until: float
    floors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """One line of the history in status."""

    what: str  # an `Ending`, or what else was decided
    revision: str
    when: float
    why: str  # a sentence
    reason: str = ""  # CamelCase constant
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """What only status knows; all else is observed again on every pass."""

    stable: str | None = None
    rollout: Rollout | None = None
    retired: Retired | None = None
    leaving: tuple[Leaving, ...] = ()
    settling: Settling | None = None
    rejected: tuple[str, ...] = ()  # the last ten
    decisions: tuple[Decision, ...] = ()  # the last five
    verbs_done: Mapping[str, str] = field(default_factory=dict)  # annotation -> value done, or refused, last
    verbs_refused: Mapping[str, str] = field(default_factory=dict)  # annotation -> why the last value was refused
    reindex: str = ""  # value of the verb reindex; part of the identity of what is wanted
    approved_deletions: Mapping[str, str] = field(default_factory=dict)  # index -> value of the verb approve-deletions
    epoch: int = 0  # of the last table written
    adopted: bool = False  # status was lost and indexes were found: nothing is promoted or collected until somebody says so


@dataclass(frozen=True)
class Plan:
    """What to do now, why, and when to look again."""

    record: Record
    keep: tuple[Keep, ...] = ()
    table: TableIntent | None = None  # None: as it is
    evaluation: EvaluationIntent | None = None
    collect: tuple[Collect, ...] = ()
    forget: tuple[str, ...] = ()  # recorded revisions of which nothing stands any more: delete their ControllerRevision
    notes: tuple[Note, ...] = ()
    blocked: tuple[str, ...] = ()  # what cannot be collected yet, and which gateway holds it
    requeue_after: float | None = None  # seconds
    moved: bool = False  # the position is another one: it is recorded, and nothing is done about it before the next pass
