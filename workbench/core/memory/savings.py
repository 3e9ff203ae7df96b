"""The steps that save memory, as one list: the plan weighs them, a run that ran out takes the next of them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.core.memory.architectures import Shape
from workbench.core.training.config import RunConfig
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import Device

SHORTEST = 128  # tokens; with less there is hardly an answer left to learn from
SHORTEST_ANSWER = 32  # tokens, of those that a model writes itself while it trains
_SMALLEST_RANK = 8
_MOST_ACCUMULATION = 1024

CHECKPOINTING = {"gradient_checkpointing": "on"}
SMALL_OPTIMIZER = {"optimizer": "paged_adamw_8bit"}


@dataclass(frozen=True)
class Saving:
    """A change that saves memory. changes: settings of the run, nested as in RunConfig.

    cost: in time and quality, only to be compared with that of others. shape: of another model.
    """

    words: str
    changes: Mapping[str, Any]
    cost: float
    shape: Shape | None = None


@dataclass(frozen=True)
class Smaller:
    """A model that could take the place of the chosen one. id: on the Hub."""

    id: str
    title: str
    shape: Shape


def smallest_batch(config: RunConfig) -> int:
    """The smallest batch that all stages of a run can take."""
    return max(METHODS[stage].smallest_batch for stage in config.stages)


def smaller_batches(config: RunConfig, device: Device | None = None) -> Iterator[Saving]:
    smallest, half = smallest_batch(config), math.ceil(config.batch_size / 2)
    exact = [batch for batch in range(config.batch_size - 1, smallest - 1, -1) if not config.effective_batch % batch]
    for batch in exact or ([half] if smallest <= half < config.batch_size else []):
        accumulation = math.ceil(config.effective_batch / batch)
        if accumulation <= _MOST_ACCUMULATION:
            yield Saving(
                f"Batch size {batch} with gradient accumulation {accumulation}: {'the same' if exact else 'an'} effective "
                f"batch of {batch * accumulation}, somewhat slower.",
                {"batch_size": batch, "accumulation": accumulation},
                cost=2 - batch / config.batch_size,
            )


def checkpointing(config: RunConfig, device: Device | None = None) -> Iterator[Saving]:
    if config.gradient_checkpointing == "off":
        words = "Gradient checkpointing on: the same result, about a third slower."
        yield Saving(words, CHECKPOINTING, cost=3)


def reference_first(config: RunConfig, device: Device | None = None) -> Iterator[Saving]:
    last = METHODS[config.stages[-1]]
    if config.reference == "beside" and last.has_reference and not last.online:
        words = "The reference computed before each batch instead of with it: the same result."
        yield Saving(words, {"reference": "kept"}, cost=1)


def small_optimizer(config: RunConfig, device: Device) -> Iterator[Saving]:
    if device.is_cuda and config.optimizer != SMALL_OPTIMIZER["optimizer"]:
        words = "Take the paged 8-bit optimizer: its moments are rounded, with hardly a difference in the result."
        yield Saving(words, SMALL_OPTIMIZER, cost=2)


def smaller_adapters(config: RunConfig, device: Device | None = None) -> Iterator[Saving]:
    rank, cost = config.adapter.rank, 4
    while rank // 2 >= _SMALLEST_RANK:
        rank, cost = rank // 2, cost + 1
        alpha = max(1, round(config.adapter.alpha * rank / config.adapter.rank))
        words = f"Rank {rank} with alpha {alpha}: a smaller adapter, which can learn a little less."
        yield Saving(words, {"adapter": {"rank": rank, "alpha": alpha}}, cost)


def shorter_examples(config: RunConfig, device: Device | None = None) -> Iterator[Saving]:
    if METHODS[config.stages[-1]].online:
        yield from _shorter_answers(config)
        return
    for share in (0.75, 0.5, 0.375, 0.25):
        length = max(SHORTEST, int(config.max_length * share) // 8 * 8)
        if length < config.max_length:
            words = (
                f"Max length {length:,} tokens: longer examples are cut at the end. The Data page shows how many are."
            )
            yield Saving(words, {"max_length": length}, cost=6 / share)


def _shorter_answers(config: RunConfig) -> Iterator[Saving]:
    """Max length falls with the longest answer, so that the same prompts have room: a run goes on with the same rows."""
    own = config.own(config.stages[-1])
    longest = own.longest_own_answer()
    for share in (0.75, 0.5, 0.375, 0.25):
        answer = max(SHORTEST_ANSWER, int(longest * share) // 8 * 8)
        if answer < longest:
            changes = own.model_dump() | own.shorter_answers(longest - answer)
            yield Saving(
                f"Answers of at most {answer:,} tokens, with a max length of {config.max_length - longest + answer:,}: longer ones "
                "are cut at the end.",
                {"max_length": config.max_length - longest + answer, config.stages[-1]: changes},
                cost=6 / share,
            )


def smaller_models(shape: Shape, smaller: Iterable[Smaller]) -> Iterator[Saving]:
    for model in sorted(smaller, key=lambda one: one.shape.parameters, reverse=True):
        share = model.shape.parameters / shape.parameters
        if share < 1:
            yield Saving(
                f"Take a smaller model, {model.title}: it learns faster and knows less.",
                {"model": {"source": "hub", "name": model.id, "revision": None}},
                cost=30 - 10 * share,
                shape=model.shape,
            )


Step = Callable[[RunConfig, Device], Iterator[Saving]]

BEFORE_A_RUN: tuple[Step, ...] = (
    smaller_batches, checkpointing, reference_first, small_optimizer, smaller_adapters, shorter_examples,
)  # fmt: skip
"""Of one step only one saving can be taken. A smaller model is one more."""

ON_THE_WAY = (smaller_batches, checkpointing, reference_first, shorter_examples)
"""Those after which a checkpoint still holds. A smaller batch with more accumulation trains the same steps on the same
examples, only slower, so it comes first. A shorter longest example cuts answers, so it comes last."""
