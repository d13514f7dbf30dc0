"""The stories: what people and clusters do to a rollout. Each is told once as a golden log, and under many seeds."""

from __future__ import annotations

from simulation import accidents, people
from simulation.telling import Story

_ALL: tuple[Story, ...] = (
    people.happy_canary,
    people.canary_with_approval_and_live_analysis,
    people.blue_green,
    people.blue_green_with_approval,
    people.immediate,
    people.evaluation_fails,
    people.evaluation_is_inconclusive_and_somebody_promotes,
    people.question_set_cannot_be_read_and_is_mended,
    people.live_traffic_fails,
    people.live_traffic_cannot_be_read,
    people.spec_changes_to_c,
    people.back_to_a_and_again_to_b,
    people.rollback_and_forward_again,
    people.back_to_a_retired_revision,
    people.somebody_aborts_and_retries,
    people.somebody_aborts_after_half_an_hour_at_half,
    people.suspended_for_a_day,
    people.passages_change,
    people.reindex,
    accidents.candidate_dies_under_weight,
    accidents.gateway_does_not_acknowledge,
    accidents.gateway_holds_what_is_aborted,
    accidents.stable_child_is_deleted,
    accidents.no_gpu,
    accidents.build_fails_twice,
    accidents.build_fails_for_good,
    accidents.evaluation_result_is_lost,
    accidents.embedder_has_other_weights,
    accidents.weights_change_after_promotion,
    accidents.clock_is_set_back_and_forth,
    accidents.status_is_lost,
    accidents.restored_without_records,
)
STORIES: dict[str, Story] = {story.__name__: story for story in _ALL}
