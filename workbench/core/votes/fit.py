"""The one logistic fit behind length control and Bradley-Terry."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.core.statistics import normal_width

# Keeps the strength of who won every vote finite: a normal prior with a standard deviation of 1.8 logits, worth about one vote.
RIDGE = 0.3
_STEPS = 30


@dataclass(frozen=True)
class Fit:
    """Coefficients in logits. robust, model: their covariance, by the sandwich and by the model itself."""

    coefficients: list[float]
    robust: list[list[float]]
    model: list[list[float]]
    count: int

    def at(self, features: Sequence[float]) -> float:
        """Chance to win at these features."""
        return _chance(self.coefficients, features)

    def interval(self, features: Sequence[float]) -> tuple[float, float]:
        """Of that chance, to be looked at after each vote. The wider one of both covariances: the sandwich is too narrow for
        few votes, and for somebody who won them all."""
        logit = _dot(self.coefficients, features)
        variance = max(_dot(features, [_dot(line, features) for line in part]) for part in (self.robust, self.model))
        half = normal_width(self.count) * math.sqrt(variance)
        return _sigmoid(logit - half), _sigmoid(logit + half)


def logistic_fit(features: Sequence[Sequence[float]], scores: Sequence[float]) -> Fit:
    """P(win) = sigmoid(features . coefficients), by Newton's method. scores: 1, 0, and a half for a tie.

    Bradley-Terry (1952, Biometrika 39, 324) has a feature per answerer, +1 for the first and -1 for the second of a match;
    the strength of one is 0, so it has none. The logarithm of the ratio of lengths as one more takes the length out (Dubois et
    al. 2024, arXiv 2404.04475; as a feature among Bradley-Terry's: Chiang et al. 2024, Chatbot Arena's style control). Half
    wins are no Bernoulli draws, so the covariance is a sandwich (White 1982, Econometrica 50, 1).
    """
    size = len(features[0])
    found = [0.0] * size
    for _ in range(_STEPS):
        bread, slope = _curvature(features, scores, found)
        step = _solve(bread, slope)
        # Far from the solution a whole step may be too long.
        shrink = min(1.0, 2.0 / max(max(map(abs, step)), 1e-12))
        found = [value + shrink * change for value, change in zip(found, step, strict=True)]
        if max(map(abs, step)) < 1e-9:
            break
    bread, _ = _curvature(features, scores, found)
    inverse = [_solve(bread, [float(row == column) for row in range(size)]) for column in range(size)]
    meat = [[0.0] * size for _ in range(size)]
    for line, score in zip(features, scores, strict=True):
        weight = (score - _chance(found, line)) ** 2
        for row in range(size):
            for column in range(size):
                meat[row][column] += weight * line[row] * line[column]
    free = len(scores) / max(len(scores) - size, 1)
    robust = _times(_times(inverse, meat), inverse)
    return Fit(found, [[free * value for value in line] for line in robust], inverse, len(scores))


def _curvature(
    features: Sequence[Sequence[float]], scores: Sequence[float], at: Sequence[float]
) -> tuple[list[list[float]], list[float]]:
    """Minus the second derivative of the penalised log-likelihood, and the first."""
    size = len(at)
    bread = [[RIDGE * (row == column) for column in range(size)] for row in range(size)]
    slope = [-RIDGE * value for value in at]
    for line, score in zip(features, scores, strict=True):
        chance = _chance(at, line)
        weight = chance * (1 - chance)
        for row in range(size):
            if line[row]:
                slope[row] += (score - chance) * line[row]
                for column in range(size):
                    bread[row][column] += weight * line[row] * line[column]
    return bread, slope


def _solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Gauss's elimination; the ridge keeps the matrix positive definite."""
    size = len(right)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for pivot in range(size):
        best = max(range(pivot, size), key=lambda row: abs(rows[row][pivot]))
        rows[pivot], rows[best] = rows[best], rows[pivot]
        for row in range(pivot + 1, size):
            factor = rows[row][pivot] / rows[pivot][pivot]
            rows[row] = [value - factor * above for value, above in zip(rows[row], rows[pivot], strict=True)]
    found = [0.0] * size
    for row in reversed(range(size)):
        known = sum(rows[row][column] * found[column] for column in range(row + 1, size))
        found[row] = (rows[row][size] - known) / rows[row][row]
    return found


def _times(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> list[list[float]]:
    columns = list(zip(*other, strict=True))
    return [[_dot(line, column) for column in columns] for line in one]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _chance(coefficients: Sequence[float], features: Sequence[float]) -> float:
    return _sigmoid(_dot(coefficients, features))


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, logit))))
