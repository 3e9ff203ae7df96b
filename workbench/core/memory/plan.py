"""Whether a run fits into the memory that is free, and the three cheapest changes that make it fit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Literal

from workbench.core.memory.architectures import Shape
from workbench.core.memory.forecast import PARTS, ComputeOptions, Forecast, forecast
from workbench.core.training.config import RunConfig
from workbench.core.training.recipe import Device

Fit = Literal["fits", "tight", "no"]

# Above this share of the free memory a run is tight: other programs and gaps between tensors take some as well.
TIGHT = 0.9
MOST_REMEDIES = 3
# A change that saves less than this share of the whole is not worth a person's time.
_WORTH_IT = 0.01
_SHORTEST = 128  # tokens; with less there is hardly an answer left to learn from
_SMALLEST_RANK = 8


@dataclass(frozen=True)
class Smaller:
    """A model that could take the place of the chosen one. id: on the Hub."""

    id: str
    title: str
    shape: Shape


@dataclass(frozen=True)
class Offer:
    """A leaner way through a step that is there to be taken, beside the usual settings; the caller knows which are.

    changes: the settings that take it, nested as in RunConfig; empty for one that is not a setting, such as a package
    to install. paths: what it adds.
    """

    words: str
    changes: Mapping[str, Any]
    paths: ComputeOptions


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
    paths: ComputeOptions | None = None,
    smaller: Sequence[Smaller] = (),
    offers: Sequence[Offer] = (),
) -> Plan:
    """The memory plan of a run. free: bytes that are free before it starts; smaller: models to suggest, any order."""
    worst = worst_stage(shape, config, device, paths)
    found = verdict(worst.total, free)
    changes = () if found == "fits" else remedies(shape, config, device, free, paths, smaller, offers)
    return Plan(worst, free, found, tuple(changes))


def worst_stage(shape: Shape, config: RunConfig, device: Device, paths: ComputeOptions | None = None) -> Forecast:
    """The stage of a run that needs most."""
    return max((forecast(shape, config, stage, device, paths) for stage in config.stages), key=lambda one: one.total)


def verdict(total: int, free: int) -> Fit:
    """Whether `total` bytes fit into `free` ones: tight above nine tenths of them."""
    if total > free:
        return "no"
    return "tight" if total > TIGHT * free else "fits"


@dataclass(frozen=True)
class _Change:
    """A way to save memory, not weighed yet. cost: in time and quality, only to be compared with that of others."""

    words: str
    changes: Mapping[str, Any]
    cost: float
    shape: Shape | None = None  # of another model
    paths: ComputeOptions = ComputeOptions()  # what it adds to the paths of the run


def remedies(
    shape: Shape,
    config: RunConfig,
    device: Device,
    free: int,
    paths: ComputeOptions | None = None,
    smaller: Sequence[Smaller] = (),
    offers: Sequence[Offer] = (),
) -> list[Remedy]:
    """The cheapest changes, in what they cost in time and quality, that make a run fit; at most three.

    First the cheapest change, or the cheapest two or three together, that are enough; after them others that are
    enough by themselves. Where nothing is enough, those that save most, one after the other.
    """
    scale = _Scale(shape, config, device, free, paths or ComputeOptions())
    kinds = [scale.worthwhile(kind) for kind in _kinds(shape, config, device, smaller, offers)]
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


def _cheapest(scale: "_Scale", kinds: Sequence[Sequence[_Change]]) -> tuple[_Change, ...]:
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

    def __init__(self, shape: Shape, config: RunConfig, device: Device, free: int, paths: ComputeOptions):
        self._shape, self._config, self._device, self._free, self._paths = shape, config, device, free, paths
        self._total = self._weigh()

    def _weigh(self, *changes: _Change) -> int:
        shape, values, paths = self._shape, self._config.model_dump(), self._paths
        for change in changes:
            shape, values, paths = change.shape or shape, _overlay(values, change.changes), _both(paths, change.paths)
        return worst_stage(shape, RunConfig.model_validate(values), self._device, paths).total

    def saved(self, change: _Change) -> int:
        return self._total - self._weigh(change)

    def is_enough(self, *changes: _Change) -> bool:
        return verdict(self._weigh(*changes), self._free) == "fits"

    def worthwhile(self, kind: Iterable[_Change]) -> list[_Change]:
        """The changes of a kind that save enough to be worth a person's time."""
        return [change for change in kind if self.saved(change) > _WORTH_IT * self._total]

    def remedy(self, change: _Change) -> Remedy:
        return Remedy(change.words, self.saved(change), change.changes, enough=True)

    def one_after_the_other(self, changes: Sequence[_Change]) -> list[Remedy]:
        weights = [self._weigh(*changes[:count]) for count in range(len(changes) + 1)]
        return [
            Remedy(change.words, before - after, change.changes, enough=False)
            for change, before, after in zip(changes, weights, weights[1:], strict=False)
        ]


def _both(one: ComputeOptions, other: ComputeOptions) -> ComputeOptions:
    return ComputeOptions(
        one.chunked_logits or other.chunked_logits,
        one.fused_loss or other.fused_loss,
        one.precomputed_reference or other.precomputed_reference,
        one.from_adapter or other.from_adapter,
    )


def _kinds(
    shape: Shape, config: RunConfig, device: Device, smaller: Sequence[Smaller], offers: Sequence[Offer]
) -> Iterator[Iterable[_Change]]:
    """Kinds of change; of one kind only one can be taken."""
    for offer in offers:
        yield [_Change(offer.words, offer.changes, cost=0.5, paths=offer.paths)]
    yield _smaller_batches(config)
    yield _checkpointing(config)
    yield _small_optimizer(config, device)
    yield _smaller_adapters(config)
    yield _shorter_examples(config)
    yield _smaller_models(shape, smaller)


def _smaller_batches(config: RunConfig) -> Iterator[_Change]:
    for batch in range(config.batch_size - 1, 0, -1):
        accumulation, rest = divmod(config.effective_batch, batch)
        if not rest and accumulation <= 1024:
            yield _Change(
                f"Batch size {batch} with gradient accumulation {accumulation}: the same effective batch of "
                f"{config.effective_batch}, somewhat slower.",
                {"batch_size": batch, "accumulation": accumulation},
                cost=2 - batch / config.batch_size,
            )


def _checkpointing(config: RunConfig) -> Iterator[_Change]:
    if config.gradient_checkpointing == "off":
        words = "Turn gradient checkpointing on: the same result, about a third slower."
        yield _Change(words, {"gradient_checkpointing": "on"}, cost=3)


def _small_optimizer(config: RunConfig, device: Device) -> Iterator[_Change]:
    if device.is_cuda and config.optimizer != "paged_adamw_8bit":
        words = "Take the paged 8-bit optimizer: its moments are rounded, with hardly a difference in the result."
        yield _Change(words, {"optimizer": "paged_adamw_8bit"}, cost=2)


def _smaller_adapters(config: RunConfig) -> Iterator[_Change]:
    rank, cost = config.adapter.rank, 4
    while rank // 2 >= _SMALLEST_RANK:
        rank, cost = rank // 2, cost + 1
        alpha = max(1, round(config.adapter.alpha * rank / config.adapter.rank))
        words = f"Rank {rank} with alpha {alpha}: a smaller adapter, which can learn a little less."
        yield _Change(words, {"adapter": {"rank": rank, "alpha": alpha}}, cost)


def _shorter_examples(config: RunConfig) -> Iterator[_Change]:
    for share in (0.75, 0.5, 0.375, 0.25):
        length = int(config.max_length * share) // 64 * 64
        if length >= _SHORTEST:
            words = (
                f"Longest example {length:,} tokens: longer ones are cut at the end. The Data page shows how many are."
            )
            yield _Change(words, {"max_length": length}, cost=6 / share)


def _smaller_models(shape: Shape, smaller: Sequence[Smaller]) -> Iterator[_Change]:
    for model in sorted(smaller, key=lambda one: one.shape.parameters, reverse=True):
        share = model.shape.parameters / shape.parameters
        if share < 1:
            yield _Change(
                f"Take a smaller model, {model.title}: it learns faster and knows less.",
                {"model": {"source": "hub", "name": model.id, "revision": None}},
                cost=30 - 10 * share,
                shape=model.shape,
            )


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _overlay(under, value) if isinstance(value, Mapping) and isinstance(under, Mapping) else value
    return merged


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
