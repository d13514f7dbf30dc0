"""Shares and how certain they are. Pure.

The interval of a share is Wilson's (E. B. Wilson 1927), of a difference of two shares Newcombe's hybrid of two Wilson
intervals (R. G. Newcombe 1998, method 10): both hold for small counts and shares near zero, where the normal one does not.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

# 99 %, two-sided: a step is looked at again and again, and at 95 % every twentieth look would see a difference that is none.
Z: Final = 2.576


def wilson(count: int, total: int) -> tuple[float, float]:
    """Return the interval of the share `count / total`; everything is possible when nothing was counted."""
    if total <= 0:
        return 0.0, 1.0
    share, z2 = count / total, Z * Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z * sqrt(share * (1 - share) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def certain_excess(count: int, total: int, other_count: int, other_total: int) -> float:
    """Return the lower end of the interval of `count / total - other_count / other_total`."""
    if total <= 0:
        return -1.0
    share, other = count / total, other_count / other_total if other_total else 0.0
    low, other_high = wilson(count, total)[0], wilson(other_count, other_total)[1]
    return (share - other) - sqrt((share - low) ** 2 + (other_high - other) ** 2)


def excess(count: int, total: int, other_count: int, other_total: int) -> float:
    """Return the difference of two shares; a side of which nothing was counted has none."""
    return (count / total if total else 0.0) - (other_count / other_total if other_total else 0.0)
