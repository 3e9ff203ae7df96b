"""Intervals and comparisons of small samples."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def wilson(share: float, total: int) -> tuple[float, float]:
    """95 % interval of a share of `total` draws. Wilson 1927."""
    z = 1.96
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return centre - half, centre + half


def auc(first: Sequence[int], second: Sequence[int]) -> float:
    """Chance that a number of the first is larger than one of the second, equal ones counted half."""
    ordered = sorted(second)
    wins = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in first)
    return wins / (2 * len(first) * len(second))
