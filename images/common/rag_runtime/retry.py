"""A retry budget: retries may add a fifth to the traffic, so that retries never bring down what is merely slow."""

from __future__ import annotations

DEFAULT_RATIO = 0.2
# Retries that a quiet client has at hand, and the most it can save up.
RESERVE = 10.0


class RetryBudget:
    """Every request earns `ratio` of a retry; a retry costs one. Shared by all requests to one upstream."""

    def __init__(self, ratio: float = DEFAULT_RATIO, reserve: float = RESERVE) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._balance = reserve

    def earn(self) -> None:
        """Call once per request, not per attempt."""
        self._balance = min(self._balance + self._ratio, self._reserve)

    def spend(self) -> bool:
        """Take one retry; False when the budget is used up, and the failure has to be passed on."""
        if self._balance < 1:
            return False
        self._balance -= 1
        return True
