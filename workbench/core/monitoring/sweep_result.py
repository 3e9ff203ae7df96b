"""What a sweep comes to: a figure with its interval for each value, and a sentence that says no more than they do."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from workbench.core.monitoring.duration import duration_label
from workbench.core.monitoring.metrics import Row, latest, results
from workbench.core.statistics import wilson
from workbench.core.training.config import RunConfig
from workbench.core.training.methods import ACCURACY, KL, LOSS, MARGIN, REWARD, Result
from workbench.core.training.sweep import Sweep, Value, compares_losses, title_of, value_label

MARGIN_ERROR = "eval_rewards/margins_error"
"""Key of the standard error of the held-out margin: engine/spread.py says how it is come by."""

NORMAL = 1.96  # standard errors to either side, for 95 %

_HIGHER_IS_BETTER: Mapping[Result, bool] = {ACCURACY: True, REWARD: True, MARGIN: True, LOSS: False}
"""What a sweep is judged by, the first that its runs have. Divergence alone is neither good nor bad."""


class Figure(NamedTuple):
    """low, high: its 95 % interval; None where nothing says how far it can be off."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Point:
    """What is known of one value. state: of its run, "gone" where there is none any more. figures: as `figures` gives them."""

    value: Value
    run: str
    state: str
    figures: Mapping[Result, Figure] = field(default_factory=dict)
    step: int = 0
    steps: int = 0

    @property
    def label(self) -> str:
        return value_label(self.value)

    @property
    def is_settled(self) -> bool:
        return self.state in ("finished", "stopped")


def figures(rows: Sequence[Row], config: RunConfig, held_out: int) -> dict[Result, Figure]:
    """What a run reached on held-out examples, of which it measured so many, in its last stage.

    The interval of a share is Wilson's, that of a margin 1.96 standard errors. They say what other held-out examples would have
    given, not what another seed would have.
    """
    stage, found = config.stages[-1], {}
    for one in results(rows, config):
        # Before the first update all rewards are equal, and TRL counts ties as wrong.
        is_tie = one.result == ACCURACY and latest(rows, MARGIN.key, stage) == 0
        if one.stage != stage or not math.isfinite(one.value) or is_tie:
            continue
        low, high = None, None
        if one.result == ACCURACY and held_out and 0 <= one.value <= 1:
            low, high = wilson(one.value, held_out)
        elif one.result == MARGIN and (error := latest(rows, MARGIN_ERROR, stage)) is not None:
            low, high = one.value - NORMAL * error, one.value + NORMAL * error
        found[one.result] = Figure(one.value, low, high)
    return found


def in_nats(points: Sequence[Point], betas: Sequence[float | None]) -> list[Point]:
    """Margins divided by the beta of each run: margins of another beta are in another unit."""
    return [
        Point(
            one.value, one.run, one.state,
            {key: _divided(figure, beta) if key == MARGIN and beta else figure for key, figure in one.figures.items()},
            one.step, one.steps,
        )
        for one, beta in zip(points, betas, strict=True)
    ]  # fmt: skip


def drawn(points: Sequence[Point], setting: str) -> list[Result]:
    """The figures that some point has and that can be compared, what the sweep is judged by first."""
    there = {result for one in points for result in one.figures}
    order = [*_HIGHER_IS_BETTER, KL]
    return [one for one in order if one in there and (one != LOSS or compares_losses(setting))]


def best(points: Sequence[Point], setting: str) -> tuple[Result, Point] | None:
    """The best of the runs that have ended, and by which figure; None where nothing can be compared yet."""
    lead = next((one for one in drawn(points, setting) if one in _HIGHER_IS_BETTER), None)
    there = [one for one in points if one.is_settled and lead in one.figures]
    if lead is None or len(there) < 2:
        return None
    better: Callable[..., Point] = max if _HIGHER_IS_BETTER[lead] else min
    return lead, better(there, key=lambda one: one.figures[lead].value)


def reading(points: Sequence[Point], sweep: Sweep) -> str:
    """What the sweep says so far: which value is best, by how much that is sure, and where to look next."""
    title = title_of(sweep.setting)
    missing = sum(one.state == "gone" for one in points)
    left = sum(one.state in ("queued", "running", "paused") for one in points)
    words = []
    if found := best(points, sweep.setting):
        lead, top = found
        there = [one for one in points if one.is_settled and lead in one.figures]
        first = [one for one in there if one.figures[lead].value == top.figures[lead].value]
        others = [one for one in there if one not in first]
        verb, kind = "has" if len(first) == 1 else "share", "lowest" if lead == LOSS else "best"
        figure = figure_label(lead, top.figures[lead])
        words.append(f"{title} {_list(first)} {verb} the {kind} held-out {lead.name}: {figure}.")
        words += _how_sure(lead, top, others) if others else []
        # Where none is worse for certain, the end says nothing either.
        is_worse = any(not _overlaps(top.figures[lead], one.figures[lead]) for one in others)
        if len(first) == 1 and len(there) > 2 and is_worse and (side := _side(top, there)):
            words.append(f"It is the {side} value tried: the best one may lie beyond it.")
    else:
        words.append("Which value is best is known once two of the runs have ended.")
    if left:
        words.append(f"{left} of {len(points)} runs {'is' if left == 1 else 'are'} still to end.")
    if missing:
        words.append(
            f"{missing} {'run is' if missing == 1 else 'runs are'} gone and {'leaves' if missing == 1 else 'leave'} a gap."
        )
    return " ".join(words)


def figure_label(result: Result, figure: Figure) -> str:
    """ "78.0% [70.1, 84.3]", "1.204 [1.1, 1.3]" """
    words = format(figure.value, result.format)
    if figure.low is None or figure.high is None:
        return words
    times, digits = (100, 1) if result.format.endswith("%") else (1, 2)
    return f"{words} [{times * figure.low:.{digits}f}, {times * figure.high:.{digits}f}]".replace("-", "−")


def _how_sure(lead: Result, top: Point, others: Sequence[Point]) -> list[str]:
    mine = top.figures[lead]
    if mine.low is None:
        return ["How far chance alone could move it is not known of this figure."]
    near = [one for one in others if _overlaps(mine, one.figures[lead])]
    if not near:
        return ["Its interval lies clear of all others."]
    names = _list(near)
    if len(near) == len(others):
        return [
            f"But the interval of each other value overlaps with it ({names}): so few held-out examples do not separate these values."
        ]
    return [f"Its interval overlaps with that of {names}, so these are not separated; the others are worse."]


def _overlaps(first: Figure, second: Figure) -> bool:
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return True
    return first.low <= second.high and second.low <= first.high


def _side(top: Point, points: Sequence[Point]) -> str:
    """At which end of the numbers that were tried a point stands; "" where it is not at one, and of words."""
    values = [one.value for one in points if isinstance(one.value, int | float) and not isinstance(one.value, bool)]
    if len(values) < len(points):
        return ""
    return "largest" if top.value == max(values) else "smallest" if top.value == min(values) else ""


def _list(points: Sequence[Point]) -> str:
    """ "0.03", "0.03 and 0.1", "0.03, 0.1 and 0.3" """
    *most, last = [one.label for one in points]
    return f"{', '.join(most)} and {last}" if most else last


def _divided(figure: Figure, by: float) -> Figure:
    return Figure(*[None if part is None else part / by for part in figure])  # type: ignore[arg-type]


def cost_label(seconds: float) -> str:
    """ "12.3 s", "4 minutes" """
    return f"{seconds:.1f} s" if seconds < 90 else duration_label(seconds)
