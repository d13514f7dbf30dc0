"""How a change reaches traffic: strategies, gates, rollback."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rag_operator.api.base import Items, Model
from rag_operator.api.marks import POLICY
from rag_operator.api.rules import Rule, count_set, one_of
from rag_operator.api.scalars import Between, Duration, Percentage
from rag_operator.api.v1alpha1.common import ClaimLocation, ConfigMapKeyRef, RelativePath, S3Location


class Pause(Model):
    """Waiting between weights."""

    duration: Annotated[Duration, Between("1s", "720h")] | None = None
    """How long to wait. Unset: until somebody approves."""


class Step(Model):
    """One step of a canary: a weight or a pause."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_of("set_weight", "pause"),)

    set_weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Percentage of the traffic that goes to the candidate from here on."""
    pause: Pause | None = None
    """Waiting, for a time or for approval."""


def _weights(canary: Canary) -> list[int]:
    return [step.set_weight for step in canary.steps if step.set_weight is not None]


class Canary(Model):
    """Traffic moves to the candidate step by step."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.steps.exists(s, has(s.setWeight))",
            "steps must set a weight at least once, such as {setWeight: 10}",
            lambda self: bool(_weights(self)),
            path=".steps",
        ),
        Rule(
            "self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight).isSorted()",
            "weights must not fall from step to step",
            lambda self: _weights(self) == sorted(_weights(self)),
            path=".steps",
        ),
    )

    steps: Annotated[Items[Step], Field(min_length=1, max_length=32)]
    """Weights and pauses in order. After the last step the candidate gets everything."""


class BlueGreen(Model):
    """Traffic moves to the candidate in one step."""

    auto_promote: bool = True
    """Whether traffic moves as soon as the gates pass. Otherwise it waits for approval."""


class QuestionFile(ClaimLocation):
    """A file on a persistent volume."""

    path: Annotated[RelativePath, Field(min_length=1)]
    """The file inside the volume."""


class QuestionObject(S3Location):
    """An object in a bucket."""

    prefix: Annotated[RelativePath, Field(min_length=1)]
    """Key of the object."""


class QuestionSet(Model):
    """Held-out questions: JSON Lines of {id, text, relevant: {documentId: grade}}."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_of("config_map_ref", "pvc", "s3"),)

    config_map_ref: ConfigMapKeyRef | None = None
    """A key of a ConfigMap."""
    pvc: QuestionFile | None = None
    """A file on a persistent volume."""
    s3: QuestionObject | None = None
    """An object in a bucket."""


class Evaluation(Model):
    """The offline gate: both revisions answer held-out questions before the candidate gets traffic."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.mode == 'NonInferior' || !has(self.margin)",
            "margin is for mode NonInferior",
            lambda self: self.mode == "NonInferior" or self.margin is None,
            path=".margin",
        ),
        Rule(
            "self.mode == 'Superior' || !has(self.minImprovement)",
            "minImprovement is for mode Superior",
            lambda self: self.mode == "Superior" or self.min_improvement is None,
            path=".minImprovement",
        ),
    )

    question_set: QuestionSet
    """The questions."""
    metric: Annotated[str, Field(min_length=3, max_length=9, pattern=r"^((nDCG|Recall)@[1-9][0-9]?|MRR)$")] = "nDCG@10"
    """The one metric that decides: nDCG@k, Recall@k or MRR. The others are shown."""
    mode: Literal["NonInferior", "Superior"] = "NonInferior"
    """NonInferior: no worse than stable by more than margin. Superior: better by at least minImprovement."""
    margin: Percentage | None = None
    """How much worse than stable is still accepted, as a share of stable's mean. Unset: 5%."""
    min_improvement: Percentage | None = None
    """How much better than stable is demanded, as a share of stable's mean. Unset: 2%."""
    min_questions: Annotated[int, Field(ge=10, le=100_000)] = 100
    """With fewer questions the gate does not decide."""


class Analysis(Model):
    """The online gate: live traffic of both revisions is compared at every weight."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.margin) || has(self.maxRetrievalP95) || has(self.maxTimeToFirstTokenP95)",
            "set at least one threshold: margin, maxRetrievalP95 or maxTimeToFirstTokenP95",
            lambda self: count_set(self, ("margin", "max_retrieval_p95", "max_time_to_first_token_p95")) > 0,
        ),
    )

    min_requests: Annotated[int, Field(ge=10, le=1_000_000)] = 200
    """With fewer requests to the candidate a step is extended."""
    margin: Percentage | None = None
    """How much higher than stable's the candidate's share of errors, degraded and empty answers may be, in points."""
    max_retrieval_p95: Annotated[Duration, Between("1ms", "10m")] | None = Field(default=None, alias="maxRetrievalP95")
    """Longest 95th percentile of retrieval."""
    max_time_to_first_token_p95: Annotated[Duration, Between("1ms", "10m")] | None = Field(default=None, alias="maxTimeToFirstTokenP95")
    """Longest 95th percentile of the time to the first token."""
    max_duration: Annotated[Duration, Between("1m", "168h")] = Duration("2h")
    """A step that still lacks requests after this holds, and says so."""


class Rollback(Model):
    """Going back to the revision before."""

    window: Annotated[Duration, Between("1m", "720h")] = Duration("24h")
    """How long the revision before is kept."""
    mode: Literal["Hot", "Cold"] | None = None
    """Hot, also when unset: as it was, ready within a second. Cold: its index alone, out of memory; going back takes a build-up."""


class Rollout(Model):
    """How a change reaches traffic."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.strategy == 'Canary') == has(self.canary)",
            "canary.steps belong to strategy Canary, which needs them; other strategies have none",
            lambda self: (self.strategy == "Canary") == (self.canary is not None),
            path=".canary",
        ),
        Rule(
            "self.strategy == 'BlueGreen' || !has(self.blueGreen)",
            "blueGreen belongs to strategy BlueGreen",
            lambda self: self.strategy == "BlueGreen" or self.blue_green is None,
            path=".blueGreen",
        ),
    )

    strategy: Annotated[Literal["Canary", "BlueGreen", "Immediate"], POLICY] = "BlueGreen"
    """Canary moves traffic in steps, BlueGreen at once after the gates, Immediate as soon as the candidate is ready."""
    canary: Annotated[Canary, POLICY] | None = None
    """Steps of the strategy Canary."""
    blue_green: Annotated[BlueGreen, POLICY] | None = None
    """Settings of the strategy BlueGreen."""
    evaluation: Annotated[Evaluation, POLICY] | None = None
    """The offline gate. Unset: retrieval quality goes unchecked, and status says so."""
    analysis: Annotated[Analysis, POLICY] | None = None
    """The online gate. Unset: only readiness is looked at."""
    rollback: Annotated[Rollback, POLICY] = Field(default_factory=Rollback)
    """Going back."""
    abort_delay: Annotated[Duration, Between("0s", "24h"), POLICY] = Duration("5m")
    """How long an aborted candidate keeps its pods."""
    progress_deadline: Annotated[Duration, Between("1m", "168h"), POLICY] = Duration("1h")
    """A candidate without progress for so long is aborted. Pauses, approvals and suspension do not count."""
