"""Numbers with their intervals: of shares, of means, of sums divided by sums, and of differences prompt by prompt."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, stdev

from workbench.core.statistics import ALPHA, wilson

LEAST = 8
"""Fewer prompts make no interval that one could trust."""
_RESAMPLES = 1000
_BLOCKS = 50

Part = tuple[float, float]
"""What one prompt adds above and below the line: a mean is a sum of (value, 1) divided by their number."""


@dataclass(frozen=True)
class Estimate:
    """A number from `count` prompts (or answers, or tokens), and the ends of its 95 % interval."""

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Difference:
    """An estimate, and a wider interval that allows for everything that is compared beside it."""

    estimate: Estimate
    strict_low: float
    strict_high: float

    @property
    def is_real(self) -> bool:
        """Whether chance alone would hardly bring it about, however much is compared beside it."""
        return self.strict_low > 0 or self.strict_high < 0


def width(alpha: float, free: int | None = None) -> float:
    """Standard errors to either side of an estimate that is looked at once.

    free: degrees of freedom, for Student's quantile by its expansion (Fisher and Cornish 1960, Technometrics 2, 209-225).
    """
    z = 1.96 if alpha == ALPHA else NormalDist().inv_cdf(1 - alpha / 2)
    if free is None:
        return z
    return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)


def share(hits: float, total: int) -> Estimate | None:
    """Wilson's interval. hits: halves are allowed, which makes it wider than it need be, never too narrow."""
    return Estimate(hits / total, *wilson(hits / total, total), total) if total else None


def ratio(parts: Sequence[Part], of: Callable[[float], float] = float) -> Estimate | None:
    """All above the line divided by all below it, with a bootstrap interval. of: a rising function to show it by."""
    found = _resampled(parts, ALPHA)
    if found is None:
        return None
    value, low, high, _, _ = found
    if all(above >= 0 for above, _ in parts):  # so is whatever they come to
        low = max(low, 0.0)
    return Estimate(of(value), of(low), of(high), len(parts))


def ratio_difference(parts: Sequence[Part], alpha: float, of: Callable[[float], float] = float) -> Difference | None:
    """The same of a difference, also at a stricter level."""
    found = _resampled(parts, alpha)
    if found is None:
        return None
    value, low, high, strict_low, strict_high = map(of, found)
    return Difference(Estimate(value, low, high, len(parts)), strict_low, strict_high)


def share_difference(pairs: Sequence[tuple[bool, bool]], alpha: float) -> Difference | None:
    """The second share less the first one, of pairs of answers to the same prompt.

    Agresti and Min 2005, Statistics in Medicine 24, 729-740: a half is added to each of the four counts, so that pairs that
    never differ leave an interval too.
    """
    total = len(pairs)
    if total < LEAST:
        return None
    gained = sum(not one and other for one, other in pairs)
    lost = sum(one and not other for one, other in pairs)
    more = total + 2
    centre = (gained - lost) / more
    error = math.sqrt(gained + lost + 1 - (gained - lost) ** 2 / more) / more
    (low, high), (strict_low, strict_high) = (
        (max(centre - width(one) * error, -1.0), min(centre + width(one) * error, 1.0)) for one in (ALPHA, alpha)
    )
    return Difference(Estimate((gained - lost) / total, low, high, total), strict_low, strict_high)


def _resampled(parts: Sequence[Part], alpha: float) -> tuple[float, float, float, float, float] | None:
    """The value, and the percentiles of its bootstrap at 95 % and at the stricter level.

    Many prompts are dealt into blocks first, which changes nothing but the time that it takes. The seed is fixed, so that
    the same answers always have the same interval.
    """
    if len(parts) < LEAST or not sum(below for _, below in parts):
        return None
    blocks = [(0.0, 0.0)] * min(len(parts), _BLOCKS)
    for place, (above, below) in enumerate(parts):
        before = blocks[place % len(blocks)]
        blocks[place % len(blocks)] = before[0] + above, before[1] + below
    value = _divided(blocks)
    if all(above == value * below for above, below in blocks):
        return value, value, value, value, value
    dice = random.Random(0)
    drawn = [dice.choices(blocks, k=len(blocks)) for _ in range(_RESAMPLES)]
    found = sorted(_divided(one) for one in drawn if any(below for _, below in one))
    free = len(blocks) - 1
    low, high = (found[round(share * (len(found) - 1))] for share in (ALPHA / 2, 1 - ALPHA / 2))
    # The percentiles of few draws lie too close together; expanded as Student's interval is (Hesterberg 2015, The American
    # Statistician 69, 371-386). So far out as the stricter level is, there are none: it takes their standard deviation.
    wider = width(ALPHA, free) / width(ALPHA) * math.sqrt(len(blocks) / free)
    half = width(alpha, free) * stdev(found) * math.sqrt(len(blocks) / free)
    return value, value - wider * (value - low), value + wider * (high - value), value - half, value + half


def _divided(blocks: Sequence[Part]) -> float:
    above, below = (sum(column) for column in zip(*blocks, strict=True))
    return above / below if below else 0.0
