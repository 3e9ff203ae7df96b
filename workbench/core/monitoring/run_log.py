"""What is kept of the rows of a run: all of them while they are few, and of a long run what curves and rules need.

A run of a million steps must cost a page no more than one of a thousand. Curves keep of each bucket of steps their lowest
and highest point. Of the rows stay the first and the last ones, every evaluation, and between them short stretches
and what stands out.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter, le

from workbench.core.monitoring.metrics import RESUMED, Row, steps_before
from workbench.core.training.config import Stage

Point = tuple[int, float | None]
"""A step of a stage and a number that was logged at it; None where it was no finite one."""

# More points than a chart has pixels only cost time.
POINTS_PER_LINE = 400

SPEED, MEMORY = "tokens_per_second", "memory_in_use"
"""What the workbench itself measures beside what the trainer logs. Memory in bytes."""

CURVES: dict[str, str | None] = {
    **dict.fromkeys(("loss", "eval_loss", "rewards/margins", "eval_rewards/margins", "rewards/chosen")),
    **dict.fromkeys(("eval_rewards/chosen", "rewards/rejected", "eval_rewards/rejected", "learning_rate", "grad_norm")),
    "rewards/accuracies": "rewards/margins",
    "eval_rewards/accuracies": "eval_rewards/margins",
    **dict.fromkeys(("reward", "eval_reward", "kl", "eval_kl", "entropy", "reward_std", "frac_reward_zero_std")),
    **dict.fromkeys(("completions/mean_length", "eval_completions/mean_length", "eval_reward/spread")),
    **dict.fromkeys(("completions/clipped_ratio", "eval_completions/clipped_ratio", "eval_entropy")),
    **dict.fromkeys(("logps/chosen", "eval_logps/chosen", "logps/rejected", "eval_logps/rejected", SPEED, MEMORY)),
}
"""The numbers that are drawn. An accuracy says nothing where the margin beside it is 0: before the first update all
rewards are equal, and TRL counts ties as wrong."""

PARTS = 16
"""Parts of a reward that are drawn at most: a person wrote each of them down."""

# Rows of a stage, and points of a curve, up to which every one of them is kept.
KEPT_WHOLE = 2_000

# The newest rows of a stage, which are always there one by one.
LATEST = 500

# The oldest rows of a stage: the first evaluation, the warm-up, what is usual in this run.
FIRST = 64

# Of a long stage, the rows between the first and the latest ones are kept in so many spans at most.
SPANS = 32

# Of a span its last rows, as many as a rule looks at together.
OF_A_SPAN = 5

# Rows that are added to the curves together, which is quicker.
AT_ONCE = 256

# Rows without a step: what the worker was doing.
EVENTS = 400

_BUCKETS = POINTS_PER_LINE // 2 - 1

_step, _value = itemgetter(0), itemgetter(1)


@dataclass(frozen=True)
class RunLog:
    """A run as far as it was logged. It does not change when the run goes on.

    rows: see `Digest`, in their order. curves: points by stage and key, of all rows.
    """

    rows: Sequence[Row] = ()
    curves: dict[tuple[str, str], list[Point]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "RunLog":
        """The log of rows that are all there already."""
        digest = Digest()
        for row in rows:
            digest.add(row)
        return digest.log()

    def points(self, stage: Stage, key: str) -> list[Point]:
        """The curve of one of the CURVES, or of a part of the reward; empty where nothing of it was logged."""
        if key not in CURVES and not is_part(key):
            raise KeyError(f"{key} is not one of the CURVES that a run's log keeps")
        return self.curves.get((stage, key), [])


class Digest:
    """Takes in the rows of a run one by one, in bounded room."""

    def __init__(self) -> None:
        self._added = 0
        self._rows: dict[str, list[tuple[int, Row]]] = defaultdict(
            list
        )  # with their place, by stage; "" has those without a step
        self._new: list[Row] = []  # not in the curves yet
        self._curves: dict[str, dict[str, _Curve]] = {}

    def add(self, row: Row) -> None:
        """Take in a row whose stage, step and numbers are what they should be, as those of a run's metrics() are.

        Where a run went back to a checkpoint, what came after it is forgotten.
        """
        if RESUMED in row:
            self._go_back(row)
        self._added += 1
        stage = row["stage"] if "step" in row else ""
        rows = self._rows[stage]
        rows.append((self._added, row))
        if len(rows) > (KEPT_WHOLE if stage else EVENTS):
            self._rows[stage] = _thinned(rows) if stage else rows[-EVENTS // 2 :]
        if stage:
            if self._new and (len(self._new) == AT_ONCE or self._new[-1]["stage"] != stage):
                self._draw()
            self._new.append(row)

    @property
    def rows(self) -> list[Row]:
        """What is kept of the rows, in their order."""
        return [row for _, row in sorted(chain.from_iterable(self._rows.values()), key=itemgetter(0))]

    def log(self) -> RunLog:
        """The run so far."""
        self._draw()
        curves = {
            (stage, key): curve.points() for stage, curves in self._curves.items() for key, curve in curves.items()
        }
        return RunLog(self.rows, curves)

    def _draw(self) -> None:
        """Add the new rows, all of one stage, to its curves."""
        if not self._new:
            return
        curves = self._curves.setdefault(self._new[0]["stage"], {})
        parts = [key for key in dict.fromkeys(chain.from_iterable(self._new)) if is_part(key)]
        known = sum(map(is_part, curves))
        new = [key for key in parts if key not in curves][: max(0, PARTS - known)]
        drawn = CURVES | dict.fromkeys([key for key in parts if key in curves] + new)
        for key, beside in drawn.items():
            told = [row for row in self._new if key in row and (beside is None or row.get(beside) != 0)]
            if told:
                if key not in curves:
                    curves[key] = _Curve()
                curves[key].extend([row["step"] for row in told], [row[key] for row in told])
        self._new = []

    def _go_back(self, resumed: Row) -> None:
        self._draw()
        for stage, step in steps_before(resumed):
            self._rows[stage] = [one for one in self._rows[stage] if one[1]["step"] <= step]
            for curve in self._curves.get(stage, {}).values():
                curve.forget_after(step)


def is_part(key: str) -> bool:
    """Whether a number is the mean of one part of the reward in training, as TRL names it."""
    return key.startswith("rewards/") and key.endswith("/mean")


def _thinned(rows: list[tuple[int, Row]]) -> list[tuple[int, Row]]:
    """The first and the latest rows of a stage, and what `_telling` keeps of the spans of steps between them."""
    between = rows[FIRST:-LATEST]
    steps = [row["step"] for _, row in between]
    shift = max(0, ((max(steps) - min(steps)) // SPANS).bit_length() - 2)
    while len({step >> shift for step in steps}) > SPANS:
        shift += 1
    spans: dict[int, list[Row]] = {}
    for _, row in between:
        spans.setdefault(row["step"] >> shift, []).append(row)
    kept = {id(row) for span in spans.values() for row in _telling(span)}
    return [*rows[:FIRST], *[one for one in between if id(one[1]) in kept], *rows[-LATEST:]]


def _telling(span: list[Row]) -> list[Row]:
    """Its last rows; where the gradient was highest, with what came of it; a loss that is no number; its best evaluation."""
    trained = [row for row in span if "loss" in row]
    others = [row for row in span if "loss" not in row]
    norms = [row.get("grad_norm") or 0.0 for row in trained]
    highest = norms.index(max(norms)) if norms else 0
    measured = [row for row in others if row.get("eval_loss") is not None]
    return [
        *trained[-OF_A_SPAN:],
        *trained[highest : highest + 3],
        *[row for row in trained if row["loss"] is None][:1],
        *others[-2 * OF_A_SPAN :],
        *sorted(measured, key=lambda row: float(row["eval_loss"]))[:1],
    ]


class _Curve:
    """The points of one curve: all of them up to KEPT_WHOLE, then of each bucket of steps the lowest and the highest.

    The width of a bucket is a power of two, so that two of them become one without a look at what was in them.
    """

    def __init__(self) -> None:
        self._whole: list[Point] | None = []  # None: there are buckets
        self._ends: list[Point] = []
        self._buckets: dict[int, tuple[Point, Point]] = {}
        self._shift = 0  # a bucket is 2 ** shift steps wide

    def extend(self, steps: Sequence[int], values: Sequence[float | None]) -> None:
        if self._whole is not None:
            self._whole += zip(steps, values, strict=True)
            if len(self._whole) <= KEPT_WHOLE:
                return
            steps, values = zip(*self._whole, strict=True)
            self._ends, self._whole = [self._whole[0]], None
        self._ends = [self._ends[0], (steps[-1], values[-1])]
        places = [step >> self._shift for step in steps]
        in_order = all(map(le, places, places[1:]))
        start = 0
        while start < len(places):
            # Points that follow each other in one bucket are compared here, which is quicker than one by one.
            end = bisect_right(places, places[start], start) if in_order else start + 1
            known = [value for value in values[start:end] if value is not None]
            for value in {min(known), max(known)} if known else (None,):
                self._put((steps[values.index(value, start)], value))
            start = end

    def points(self) -> list[Point]:
        """In the order of their steps."""
        if self._whole is not None:
            return sorted(self._whole, key=_step)
        return sorted({*self._ends, *self._kept()}, key=_step)

    def forget_after(self, step: int) -> None:
        if self._whole is not None:
            self._whole = [point for point in self._whole if point[0] <= step]
            return
        kept = [point for point in self._kept() if point[0] <= step]
        self._whole, self._ends, self._buckets = (kept, [], {}) if not kept else (None, [self._ends[0], kept[-1]], {})
        for point in kept:
            self._put(point)

    def _put(self, point: Point) -> None:
        place = point[0] >> self._shift
        bucket = self._buckets.get(place)
        if bucket is None:
            self._buckets[place] = (point, point)
            if len(self._buckets) > _BUCKETS:
                self._widen()
            return
        value, (low, high) = point[1], bucket
        if value is None:
            return
        if low[1] is None or high[1] is None:
            self._buckets[place] = (point, point)
        elif value < low[1]:
            self._buckets[place] = (point, high)
        elif value > high[1]:
            self._buckets[place] = (low, point)

    def _widen(self) -> None:
        """Make of two buckets one, until there are few enough."""
        kept = self._kept()
        while len({point[0] >> self._shift for point in kept}) > _BUCKETS:
            self._shift += 1
        self._buckets = {}
        for point in kept:
            self._put(point)

    def _kept(self) -> list[Point]:
        return sorted({point for bucket in self._buckets.values() for point in bucket}, key=_step)
