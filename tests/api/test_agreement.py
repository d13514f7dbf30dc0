"""The API server and the parser judge every object alike: any disagreement is a bug of ours."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from api.client import ApiClient
from api.manifests import base
from api.strategies import broken_specs, specs
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.validated import parse

AT_LEAST = 500

_steady = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[*HealthCheck],
)


def judged(kube: ApiClient, spec: dict[str, Any]) -> bool:
    """Return whether an object is accepted, by both alike."""
    answer = kube.create({**base(), "spec": spec})
    parsed = parse(spec)
    reasons = [] if isinstance(parsed, RAGPipelineSpec) else [str(violation) for violation in parsed]
    assert answer.accepted == (reasons == []), f"API server: {answer.status} {answer.message}; parser: {reasons}; {spec}"
    if isinstance(parsed, RAGPipelineSpec):
        assert RAGPipelineSpec.model_validate(answer.body["spec"]) == parsed
    return answer.accepted


def test_random_right_objects_are_accepted_by_both_and_mean_the_same_to_both(kube: ApiClient) -> None:
    seen: Counter[bool] = Counter()

    @settings(_steady, max_examples=AT_LEAST + 100)
    @given(specs())
    def judge(spec: dict[str, Any]) -> None:
        seen[judged(kube, spec)] += 1

    judge()
    assert seen[True] >= AT_LEAST, seen


def test_random_wrong_objects_are_refused_by_both(kube: ApiClient) -> None:
    seen: Counter[bool] = Counter()

    @settings(_steady, max_examples=2 * AT_LEAST)
    @given(broken_specs())
    def judge(spec: dict[str, Any]) -> None:
        seen[judged(kube, spec)] += 1

    judge()
    assert seen[False] >= AT_LEAST, seen
