"""The points of one curve, and what can be told of them in spite of their noise."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

# Points that are told apart; of a longer curve the means of neighbours are taken, which costs less and has less noise.
MOST = 120

# Standard errors from which on a change is no chance.
CLEAR = 3.0

# Standard deviation over the median distance of a normal distribution.
_OVER_MEDIAN = 1.4826


@dataclass(frozen=True)
class Series:
    """Numbers by step, those left out that were none.

    steps: as the chart counts them, going up. lost: the last step, where its value is no number. origin: where it began, if that
    is known for certain.
    """

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    lost: int | None = None
    origin: float | None = None

    @classmethod
    def of(cls, points: Sequence[Sequence[float | None]], most: int = MOST) -> "Series":
        """points: [step, finite number or None], as a line of a chart has them. most: points that are kept apart."""
        known = [(int(step or 0), value) for step, value in points if value is not None]
        gone = int(points[-1][0] or 0) if points and points[-1][1] is None else None
        if len(known) > most:
            size = -(-len(known) // most)
            parts = [known[place : place + size] for place in range(0, len(known), size)]
            known = [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]
        return cls(tuple(step for step, _ in known), tuple(value for _, value in known), gone)

    def shown(self, offset: int, factor: float, origin: float | None) -> "Series":
        """The same later by so many steps, in another unit, and with what is known of where it began."""
        if offset == 0 and factor == 1.0 and origin is None:
            return self
        steps = tuple(step + offset for step in self.steps)
        gone = None if self.lost is None else self.lost + offset
        return Series(steps, tuple(factor * value for value in self.values), gone, origin)

    @property
    def last(self) -> "Series":
        """Nothing but its last point."""
        return Series(self.steps[-1:], self.values[-1:], self.lost, self.origin)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def noise(self) -> float:
        """Standard deviation around a smooth course: by how far a point lies from the middle of its neighbours.

        Of such a distance the variance is 1.5 times that of a point. 0 for fewer than six points, which tell nothing of it.
        """
        if len(self) < 6:
            return 0.0
        off = [
            abs(self.values[place] - (self.values[place - 1] + self.values[place + 1]) / 2)
            for place in range(1, len(self) - 1)
        ]
        return _OVER_MEDIAN * statistics.median(off) / math.sqrt(1.5)

    @property
    def start(self) -> float:
        """Where it began: the median of the first values, of few the first one; or what is known of it."""
        if self.origin is not None:
            return self.origin
        return statistics.median(self.values[: self._first])

    @property
    def now(self) -> float:
        """Where it is: the median of the last values, of few the last one."""
        return statistics.median(self.values[-self.window :])

    @property
    def change(self) -> float:
        return self.now - self.start

    def moved(self, least: float = 0.0) -> int:
        """1 where it is clearly higher than it began, -1 where lower, 0 where noise or less than `least` explains it."""
        return 0 if not len(self) else _sign(self.change, max(least, CLEAR * self.error))

    @property
    def error(self) -> float:
        """Standard error of the change."""
        return self.noise * math.sqrt((1 / self._first if self.origin is None else 0.0) + 1 / self.window)

    def goes_on(self) -> bool:
        """Whether the last third of its steps still moves the way of the whole, by a twentieth of it or more."""
        if len(self) < 3:
            return True
        from_step = self.steps[-1] - (self.steps[-1] - self.steps[0]) / 3
        points = [one for one in zip(self.steps, self.values, strict=True) if one[0] >= from_step]
        if len(points) < 3:
            points = list(zip(self.steps, self.values, strict=True))[-3:]
        slope = _slope(points)
        span = points[-1][0] - points[0][0]
        spread = math.sqrt(sum((step - statistics.fmean(s for s, _ in points)) ** 2 for step, _ in points))
        error = self.noise / spread * span if spread else 0.0
        return _sign(slope * span, max(abs(self.change) / 20, 2 * error)) == _sign(self.change, 0.0)

    @cached_property
    def smooth(self) -> tuple[float, ...]:
        """Each value with its neighbours, by their median."""
        half = self.window // 2
        return tuple(
            statistics.median(self.values[max(0, place - half) : place + half + 1]) for place in range(len(self))
        )

    def moving_since(self) -> int | None:
        """The step until which it lay near its start; None where it left it at once."""
        near = 0.15 * abs(self.change)
        last = [step for step, value in zip(self.steps, self.smooth, strict=True) if abs(value - self.start) <= near]
        if not last or last[-1] - self.steps[0] <= 0.2 * (self.steps[-1] - self.steps[0]):
            return None
        return last[-1]

    def level_since(self) -> int | None:
        """The step from which on it has stayed near where it is now, where that is a third of its steps or more."""
        near = max(0.1 * abs(self.change), CLEAR * self.noise / math.sqrt(self.window))
        away = [place for place, value in enumerate(self.smooth) if abs(value - self.now) > near]
        first = self.steps[away[-1] + 1 if away else 0]
        return first if 3 * (self.steps[-1] - first) >= self.steps[-1] - self.steps[0] > 0 else None

    def past(self, pick: Callable[..., float], least: float) -> int | None:
        """The step of its best value, where two after it and the last one are worse by more than `least` and the noise.

        pick: `min` where lower is better, `max` where higher is.
        """
        if len(self) < 3:
            return None
        place = self.values.index(pick(self.values))
        worse = [abs(value - self.values[place]) > max(least, 2.5 * self.noise) for value in self.values[place + 1 :]]
        return self.steps[place] if place and sum(worse) >= 2 and worse[-1] else None

    def at(self, step: int) -> float:
        return self.values[self.steps.index(step)]

    @property
    def _first(self) -> int:
        return max(1, min(5, len(self) // 6))

    @property
    def window(self) -> int:
        """Points that are taken together as what it is now."""
        return max(1, min(25, len(self) // 6))


def _sign(value: float, least: float) -> int:
    return (value > least) - (value < -least)


def _slope(points: Sequence[tuple[float, float]]) -> float:
    steps, values = [step for step, _ in points], [value for _, value in points]
    return statistics.linear_regression(steps, values).slope if len(set(steps)) > 1 else 0.0
