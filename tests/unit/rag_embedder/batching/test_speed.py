"""The estimate of a batch's time."""

from __future__ import annotations

import pytest

from rag_embedder.batching.speed import Speed


def learnt(*pairs: tuple[int, float]) -> Speed:
    speed = Speed()
    for cost, seconds in pairs:
        speed.observe(cost, seconds)
    return speed


def test_start_and_rate_are_found_from_exact_measurements() -> None:
    start, rate = learnt((100, 0.012), (200, 0.022), (400, 0.042)).line
    assert (start, rate) == pytest.approx((0.002, 0.0001))


def test_one_size_alone_puts_all_time_on_the_rate() -> None:
    assert learnt((100, 0.01), (100, 0.01)).line == pytest.approx((0.0, 0.0001))


def test_what_fits_a_budget_takes_no_longer_than_it() -> None:
    speed = learnt((100, 0.012), (200, 0.022), (400, 0.042))
    assert speed.estimate(speed.affordable(0.05)) <= 0.05
    assert speed.affordable(0.001) == 0


def test_a_machine_that_slows_down_is_noticed_within_some_thirty_batches() -> None:
    speed = learnt(*[(cost, cost * 1e-4) for cost in (100, 200, 300)] * 40)
    for _ in range(40):
        for cost in (100, 200, 300):
            speed.observe(cost, cost * 4e-4)
    assert speed.line[1] == pytest.approx(4e-4, rel=0.15)


def test_noise_never_makes_a_negative_start_or_rate() -> None:
    start, rate = learnt((100, 0.05), (200, 0.01), (400, 0.3), (10, 0.0)).line
    assert start >= 0
    assert rate > 0


def test_without_measurements_any_budget_is_finite() -> None:
    assert Speed().affordable(1.0) > 0
