"""Intervals and comparisons of small samples."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def wilson(share: float, total: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share of `total` draws, 95 % if left so. z: standard errors to either side. Wilson 1927.

    Of no draws it is everything. A number of a damaged file that is no share counts as the nearest one.
    """
    if total <= 0:
        return 0.0, 1.0
    share = min(max(share, 0.0), 1.0)
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return centre - half, centre + half


def auc(first: Sequence[int], second: Sequence[int]) -> float:
    """Chance that a number of the first is larger than one of the second, equal ones counted half."""
    ordered = sorted(second)
    wins = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in first)
    return wins / (2 * len(first) * len(second))


def student_width(z: float, freedom: int) -> float:
    """The quantile of Student's t with so many degrees of freedom that belongs to the normal quantile z.

    By the expansion of Cornish and Fisher (Abramowitz and Stegun 1964, 26.7.5): 0.03 % too small at 7 degrees and z = 1.96.
    """
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


PRIOR = 5.0
"""The rates are weighed by Beta(5, 5), fixed in advance so that no data choose it: with it a true 65 % is settled within 150
votes in 83 %, with Beta(1, 1) in 79 %, with Beta(20, 20) in 81 %, and 80 % within 34 votes as with Beta(1, 1)."""

ALPHA = 0.05


def log_evidence(wins: float, losses: float, rate: float = 0.5) -> float:
    """Logarithm of how much better all rates together, weighed by the prior, explain the votes than this one does.

    wins, losses: a vote gives 1 to one of them, or a half to both. As long as `rate` is the true one, the chance that this
    ever exceeds ln(1 / alpha), however often one looks, is at most alpha (Ville 1939; Robbins 1970, Annals of Mathematical
    Statistics 41, 1397-1409; with Beta mixtures and for all numbers between 0 and 1 Howard, Ramdas, McAuliffe and Sekhon 2021,
    Annals of Statistics 49, 1055-1080). Half votes are such numbers: r^x * s^(1 - x) is convex in x, so that its mean is
    largest where every vote is 0 or 1 and is 1 there. With many ties the interval is wider than it need be, never too narrow.
    """
    return _log_mixture(wins, losses) - _log_likelihood(wins, losses, rate)


def win_interval(wins: float, losses: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Every rate that `log_evidence` does not speak against: a confidence sequence, which holds at each look at once.

    Without a vote it is the whole range.
    """
    total = wins + losses
    best = wins / total if total else 0.5
    least = _log_mixture(wins, losses) - math.log(1 / alpha)

    def end(outside: float) -> float:
        if _log_likelihood(wins, losses, outside) > least:
            return outside
        inside = best
        for _ in range(50):
            middle = (inside + outside) / 2
            if _log_likelihood(wins, losses, middle) > least:
                inside = middle
            else:
                outside = middle
        return outside

    return end(0.0), end(1.0)


def normal_width(count: int, alpha: float = ALPHA) -> float:
    """Standard errors to either side of an estimate from so many votes, for an interval that holds at each look at once.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Annals of Statistics 52,
    2613-2640, theorem 2.2, narrowest at 100 votes. A single look would need 1.96 of them.
    """
    spent = -2 * math.log(alpha)
    scale = count * (spent + math.log(spent + 1)) / _NARROWEST_AT
    return math.sqrt(2 * (scale + 1) / scale * math.log(math.sqrt(scale + 1) / alpha))


def _log_mixture(wins: float, losses: float) -> float:
    """Logarithm of the chance of the votes, in their order, over all rates."""
    return _log_beta(PRIOR + wins, PRIOR + losses) - _log_beta(PRIOR, PRIOR)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_likelihood(wins: float, losses: float, rate: float) -> float:
    """Minus infinity where a rate of 0 or 1 cannot be."""
    if (wins and rate <= 0) or (losses and rate >= 1):
        return -math.inf
    return (wins * math.log(rate) if wins else 0.0) + (losses * math.log(1 - rate) if losses else 0.0)


_NARROWEST_AT = 100
