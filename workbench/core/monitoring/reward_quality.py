"""How good a reward model is, of the scores that it gave to held-out pairs."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from workbench.core.statistics import wilson

BINS = 5


class ScoredPair(NamedTuple):
    """Raw scores and lengths in tokens, prompt included, of both answers of a pair."""

    chosen: float
    rejected: float
    chosen_tokens: int
    rejected_tokens: int


class Bin(NamedTuple):
    """Pairs for which about the same was predicted. predicted, actual: shares in which the chosen answer is the better one."""

    predicted: float
    actual: float
    pairs: int


@dataclass(frozen=True)
class RewardQuality:
    """mean, std: of all raw scores. low, high: 95 % interval of the accuracy. calibration_error: expected difference between
    predicted and actual shares (Guo et al. 2017, eq. 3). shorter_accuracy: where the chosen answer is the shorter one; None
    where it never is."""

    pairs: int
    mean: float
    std: float
    accuracy: float
    low: float
    high: float
    margin: float
    calibration: tuple[Bin, ...]
    calibration_error: float
    shorter_pairs: int
    shorter_accuracy: float | None

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def quality(pairs: Sequence[ScoredPair]) -> RewardQuality | None:
    """None of no pairs. A tie counts half."""
    if not pairs:
        return None
    scores = [score for pair in pairs for score in pair[:2]]
    wins = [_win(pair) for pair in pairs]
    low, high = wilson(fmean(wins), len(wins))
    bins = _calibration(pairs)
    shorter = [win for win, pair in zip(wins, pairs, strict=True) if pair.chosen_tokens < pair.rejected_tokens]
    return RewardQuality(
        pairs=len(pairs), mean=fmean(scores), std=pstdev(scores), accuracy=fmean(wins), low=low, high=high,
        margin=fmean(pair.chosen - pair.rejected for pair in pairs), calibration=bins,
        calibration_error=sum(one.pairs * abs(one.predicted - one.actual) for one in bins) / len(pairs),
        shorter_pairs=len(shorter), shorter_accuracy=fmean(shorter) if shorter else None,
    )  # fmt: skip


def _win(pair: ScoredPair) -> float:
    return 0.5 if pair.chosen == pair.rejected else float(pair.chosen > pair.rejected)


def _calibration(pairs: Sequence[ScoredPair]) -> tuple[Bin, ...]:
    """Of each pair the answer that scores higher is predicted to be the better one, with a probability of .5 to 1."""
    found: list[list[tuple[float, float]]] = [[] for _ in range(BINS)]
    for pair in pairs:
        probability = 1 / (1 + math.exp(-min(abs(pair.chosen - pair.rejected), 700.0)))
        found[min(BINS - 1, int((probability - 0.5) * 2 * BINS))].append((probability, _win(pair)))
    return tuple(Bin(fmean(one for one, _ in some), fmean(win for _, win in some), len(some)) for some in found if some)
