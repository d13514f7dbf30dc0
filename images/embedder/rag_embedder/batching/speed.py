"""How long a batch takes, learnt from the batches that ran: seconds = start + rate · cost.

A weighted least-squares line in which a batch counts half after about thirty newer ones, so that it follows a machine that slows
down. Cost is tokens (see `Engine.padded`).
"""

from __future__ import annotations

from dataclasses import dataclass

FORGET = 0.977  # weight kept per newer batch: a half after thirty
MIN_RATE = 1e-9  # seconds a token; never zero, so that a budget always ends somewhere


@dataclass
class Speed:
    """The line and the sums that make it."""

    weight: float = 0.0
    cost: float = 0.0
    seconds: float = 0.0
    cost_squared: float = 0.0
    cost_seconds: float = 0.0

    def observe(self, cost: int, seconds: float) -> None:
        """Learn from one batch."""
        self.weight = self.weight * FORGET + 1
        self.cost = self.cost * FORGET + cost
        self.seconds = self.seconds * FORGET + seconds
        self.cost_squared = self.cost_squared * FORGET + cost * cost
        self.cost_seconds = self.cost_seconds * FORGET + cost * seconds

    @property
    def line(self) -> tuple[float, float]:
        """(start, rate), both at least zero. Before two different costs were seen, all time is put on the rate."""
        if not self.weight or not self.cost:
            return 0.0, MIN_RATE
        spread = self.cost_squared * self.weight - self.cost**2
        average = max(self.seconds / self.cost, MIN_RATE)
        if spread <= 1e-6 * self.cost_squared * self.weight:
            return 0.0, average
        rate = (self.cost_seconds * self.weight - self.cost * self.seconds) / spread
        rate = min(max(rate, MIN_RATE), average)  # beyond the average the line would start below zero
        return max((self.seconds - rate * self.cost) / self.weight, 0.0), rate

    def estimate(self, cost: int) -> float:
        """Seconds a batch of `cost` will take."""
        start, rate = self.line
        return start + rate * cost

    def affordable(self, seconds: float) -> int:
        """The cost that fits into `seconds`; less than one text when nothing does."""
        start, rate = self.line
        return int(max(seconds - start, 0.0) / rate)
