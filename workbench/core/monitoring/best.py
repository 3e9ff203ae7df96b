"""The best step of a stage by its held-out number, and how much better it is than the last one."""

import math
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from workbench.core.statistics import student_width
from workbench.core.training.config import Stage
from workbench.core.training.methods import METHODS, Result, stage_title

# With fewer batches nobody can say how much they differ by chance.
FEWEST = 8

# An evaluation reports the mean of its batches. Where ours is another one, the batches were not all seen.
_SAME = 1e-3


class HeldOut(BaseModel):
    """One evaluation. step: optimizer steps of the stage. value: the number that the best step is chosen by.

    looks: how many evaluations there were until then, this one included. losses, sizes: of each batch of held-out examples its mean
    loss and its examples, always the same ones in the same order; empty where they are not known.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    stage: Stage
    step: int = Field(ge=0, le=10**12)
    value: FiniteFloat
    looks: int = Field(1, ge=1, le=10**12)
    losses: list[FiniteFloat] = []
    sizes: list[int] = []

    @property
    def words(self) -> str:
        return f"step {self.step:,} of {stage_title(self.stage)}"


class Gain(BaseModel):
    """How much better one step is than another: the difference of their values, positive, and its interval where that is known."""

    model_config = ConfigDict(frozen=True)

    better: float
    low: float | None = None
    high: float | None = None
    batches: int = 0

    @property
    def is_clear(self) -> bool:
        """Whether chance alone would hardly make such a difference."""
        return self.low is not None and self.low > 0


def chosen_by(stage: Stage) -> Result:
    """The held-out number that the best step of a stage is chosen by: the loss, or the reward of a method that answers by itself."""
    return METHODS[stage].results[0]


def is_better(new: HeldOut, old: HeldOut | None) -> bool:
    """Whether an evaluation is the best so far. Of two equal ones that is the first."""
    return old is None or old.stage != new.stage or _cost(new) < _cost(old)


def taken(stage: Stage, step: int, every: int, value: float, losses: list[float], sizes: list[int]) -> HeldOut:
    """An evaluation as it is written down. every: steps from one to the next. The batches count only where their mean is `value`."""
    looks = max(1, math.ceil(step / max(1, every)))
    whole = len(losses) >= FEWEST and all(math.isfinite(loss) for loss in losses)
    if not whole or abs(_mean(losses, sizes) - value) > _SAME * max(1.0, abs(value)):
        losses, sizes = [], []
    return HeldOut(stage=stage, step=step, value=value, looks=looks, losses=losses, sizes=sizes)


def gain(best: HeldOut, last: HeldOut) -> Gain | None:
    """How much better the best step is than the last one that was measured; None where it is not, or they cannot be compared.

    Both measured the same batches, so that their differences are looked at pair by pair: a Student interval of their mean, 95 %
    in all. The best of many evaluations is partly so by luck, so that the interval is wide enough for all of them at once
    (Bonferroni).
    """
    if best.stage != last.stage or best.step >= last.step or _cost(best) > _cost(last):
        return None
    better = _cost(last) - _cost(best)
    if not best.losses or best.sizes != last.sizes or len(best.losses) != len(last.losses):
        return Gain(better=better)
    differences = [then - now for now, then in zip(best.losses, last.losses, strict=True)]
    middle, total = _mean(differences, best.sizes), sum(best.sizes)
    # Of a weighted mean; with equal batches it is the variance of the differences over their number.
    spread = sum((size / total * (one - middle)) ** 2 for size, one in zip(best.sizes, differences, strict=True))
    count = len(differences)
    error = math.sqrt(spread * count / (count - 1))
    width = student_width(NormalDist().inv_cdf(1 - 0.025 / last.looks), count - 1) * error
    return Gain(better=better, low=middle - width, high=middle + width, batches=count)


def gain_message(best: HeldOut, last: HeldOut, found: Gain) -> str:
    """How much better it is, in two sentences."""
    result = chosen_by(best.stage)
    shown = result.format
    compared = f"Held-out {result.name} {best.value:{shown}} at step {best.step:,} against {last.value:{shown}} at step {last.step:,}"
    by = f"{found.better:{shown}} {'higher' if _is_reward(best.stage) else 'lower'}"
    if found.low is None or found.high is None:
        return f"{compared}: {by}. How much of that is chance cannot be said: the batches of held-out examples are too few, or others than before."
    interval = f"95 % interval {found.low:{shown}} to {found.high:{shown}}, from {found.batches:,} batches of held-out {METHODS[best.stage].noun}"
    verdict = "" if found.is_clear else " That is within what chance does: the last step may be as good."
    return f"{compared}: {by} ({interval}).{verdict}"


def _is_reward(stage: Stage) -> bool:
    return not chosen_by(stage).key.endswith("loss")


def _cost(one: HeldOut) -> float:
    """The lower the better."""
    return -one.value if _is_reward(one.stage) else one.value


def _mean(values: list[float], weights: list[int]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / max(1, sum(weights))
