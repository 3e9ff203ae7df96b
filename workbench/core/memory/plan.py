"""Whether a run fits into the memory that is free, and the three cheapest changes that make it fit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Literal

from workbench.core.memory.architectures import Shape
from workbench.core.memory.forecast import PARTS, Companions, Forecast, forecast
from workbench.core.memory.savings import BEFORE_A_RUN, Saving, Smaller, smaller_models
from workbench.core.training.config import RunConfig, overlay
from workbench.core.training.recipe import Device

Fit = Literal["fits", "tight", "no"]

# Above this share of the free memory a run is tight: other programs and gaps between tensors take some as well.
TIGHT = 0.9
MOST_REMEDIES = 3
# A change that saves less than this share of the whole is not worth a person's time.
_WORTH_IT = 0.01


@dataclass(frozen=True)
class Remedy:
    """A change that saves memory.

    saves: bytes; where remedies only help together, what this one saves after those before it. changes: settings of
    the run, nested as in RunConfig. enough: whether it makes the run fit by itself.
    """

    words: str
    saves: int
    changes: Mapping[str, Any]
    enough: bool


@dataclass(frozen=True)
class Plan:
    """The memory of a run at its worst moment against what is free, in bytes."""

    forecast: Forecast
    free: int
    verdict: Fit
    remedies: tuple[Remedy, ...]
    chosen: tuple[str, ...] = ()  # what was decided of the settings that the run leaves open, in words

    @property
    def total(self) -> int:
        return self.forecast.total

    def as_json(self) -> dict[str, Any]:
        """What `workbench plan --json` prints of memory."""
        return {
            "bytes": dict(self.forecast.parts),
            "total": self.total,
            "free": self.free,
            "verdict": self.verdict,
            "remedies": [
                {"words": one.words, "saves": one.saves, "changes": dict(one.changes), "enough": one.enough}
                for one in self.remedies
            ],
            "chosen": list(self.chosen),
            "exact": list(self.forecast.exact),
            "stage": self.forecast.objective,
            "moment": self.forecast.moment,
        }


def plan(
    shape: Shape,
    config: RunConfig,
    device: Device,
    free: int,
    companions: Companions | None = None,
    smaller: Sequence[Smaller] = (),
) -> Plan:
    """The memory plan of a run. free: bytes that are free before it starts; smaller: models to suggest, any order."""
    worst = worst_stage(shape, config, device, companions)
    found = verdict(worst.total, free)
    changes = () if found == "fits" else remedies(shape, config, device, free, companions, smaller)
    return Plan(worst, free, found, tuple(changes))


def worst_stage(shape: Shape, config: RunConfig, device: Device, companions: Companions | None = None) -> Forecast:
    """The stage of a run that needs most."""
    return max(
        (forecast(shape, config, stage, device, companions) for stage in config.stages), key=lambda one: one.total
    )


def verdict(total: int, free: int) -> Fit:
    """Whether `total` bytes fit into `free` ones: tight above nine tenths of them."""
    if total > free:
        return "no"
    return "tight" if total > TIGHT * free else "fits"


def remedies(
    shape: Shape,
    config: RunConfig,
    device: Device,
    free: int,
    companions: Companions | None = None,
    smaller: Sequence[Smaller] = (),
) -> list[Remedy]:
    """The cheapest changes, in what they cost in time and quality, that make a run fit; at most three.

    First the cheapest change, or the cheapest two or three together, that are enough; after them others that are
    enough by themselves. Where nothing is enough, those that save most, one after the other.
    """
    scale = _Scale(shape, config, device, free, companions or Companions())
    kinds = [scale.worthwhile(kind) for kind in _kinds(shape, config, device, smaller)]
    together = _cheapest(scale, [kind for kind in kinds if kind])
    found = [scale.remedy(together[0])] if len(together) == 1 else scale.one_after_the_other(together)
    alone = [next((one for one in kind if scale.is_enough(one)), None) for kind in kinds]
    others = [one for one in alone if one and one not in together]
    found += [scale.remedy(one) for one in sorted(others, key=lambda one: one.cost)]
    if not found:
        strongest = [max(kind, key=scale.saved) for kind in kinds if kind]
        best = sorted(strongest, key=scale.saved, reverse=True)[:MOST_REMEDIES]
        found = scale.one_after_the_other([one for one in strongest if one in best])
    return found[:MOST_REMEDIES]


def _cheapest(scale: "_Scale", kinds: Sequence[Sequence[Saving]]) -> tuple[Saving, ...]:
    """The cheapest set of changes of different kinds that is enough; empty where there is none."""
    sets = (
        chosen
        for count in range(1, MOST_REMEDIES + 1)
        for several in combinations(kinds, count)
        for chosen in product(*several)
    )
    by_cost = sorted(sets, key=lambda chosen: sum(one.cost for one in chosen))
    return next((chosen for chosen in by_cost if scale.is_enough(*chosen)), ())


class _Scale:
    """Weighs changes of one run on one device."""

    def __init__(self, shape: Shape, config: RunConfig, device: Device, free: int, companions: Companions):
        self._shape, self._config, self._device, self._free, self._companions = shape, config, device, free, companions
        self._total = self._weigh()

    def _weigh(self, *changes: Saving) -> int:
        shape, values = self._shape, self._config.model_dump()
        for change in changes:
            shape, values = change.shape or shape, overlay(values, change.changes)
        return worst_stage(shape, RunConfig.model_validate(values), self._device, self._companions).total

    def saved(self, change: Saving) -> int:
        return self._total - self._weigh(change)

    def is_enough(self, *changes: Saving) -> bool:
        return verdict(self._weigh(*changes), self._free) == "fits"

    def worthwhile(self, kind: Iterable[Saving]) -> list[Saving]:
        """The changes of a kind that save enough to be worth a person's time."""
        return [change for change in kind if self.saved(change) > _WORTH_IT * self._total]

    def remedy(self, change: Saving) -> Remedy:
        return Remedy(change.words, self.saved(change), change.changes, enough=True)

    def one_after_the_other(self, changes: Sequence[Saving]) -> list[Remedy]:
        weights = [self._weigh(*changes[:count]) for count in range(len(changes) + 1)]
        return [
            Remedy(change.words, before - after, change.changes, enough=False)
            for change, before, after in zip(changes, weights, weights[1:], strict=False)
        ]


def _kinds(shape: Shape, config: RunConfig, device: Device, smaller: Sequence[Smaller]) -> Iterator[Iterable[Saving]]:
    """Kinds of change; of one kind only one can be taken."""
    yield from (step(config, device) for step in BEFORE_A_RUN)
    if not (config.start_from or config.own(config.stages[-1]).reward_run_name()):
        yield smaller_models(shape, smaller)  # an adapter of this model fits no other one


def in_gigabytes(size: int) -> str:
    """Bytes as a person reads them: 10^9 bytes with two digits, 10^6 below a tenth of that."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def fit_message(found: Fit, total: int, free: int) -> str:
    """The verdict as a sentence with its numbers."""
    need = f"The run needs up to {in_gigabytes(total)} of the {in_gigabytes(free)} that are free"
    if found == "fits":
        return f"It fits. {need}."
    if found == "tight":
        return f"Tight. {need}, which leaves little for other programs."
    return f"It does not fit. {need}: {in_gigabytes(total - free)} too much."


def part_label(part: str) -> str:
    """What a part is called on a page."""
    return PARTS.get(part, part)
