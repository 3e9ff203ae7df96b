"""What a run that ran out of memory tries next: less at once, the same in all."""

import math
from dataclasses import dataclass
from typing import Any

from workbench.core.training.config import WITH_REFERENCE, RunConfig

SHORTEST = 128  # tokens; below this hardly an answer is whole
_SHORTER = 0.75


@dataclass(frozen=True)
class Rung:
    """Settings to go on with, and what that means in a sentence."""

    changes: dict[str, Any]
    words: str


def next_rung(config: RunConfig) -> Rung | None:
    """The cheapest way to need less memory; None at the floor.

    A smaller batch with more accumulation trains the same steps on the same examples, only slower, so it comes first. A
    shorter longest example cuts answers, so it comes last.
    """
    if config.batch_size > (2 if "kto" in config.stages else 1):  # KTO compares answers within a batch
        batch = math.ceil(config.batch_size / 2)
        accumulation = math.ceil(config.effective_batch / batch)
        return Rung(
            {"batch_size": batch, "accumulation": accumulation},
            f"batch size {config.batch_size} to {batch}, with accumulation {config.accumulation} to {accumulation}: the "
            "effective batch stays",
        )
    if config.gradient_checkpointing == "off":
        return Rung(
            {"gradient_checkpointing": "on"}, "gradient checkpointing switched on: slower, and much less memory"
        )
    if config.reference == "beside" and config.stages[-1] in WITH_REFERENCE:
        return Rung(
            {"reference": "kept"}, "the reference is computed before each batch instead of with it: the same result"
        )
    if config.max_length > SHORTEST:
        length = max(SHORTEST, int(config.max_length * _SHORTER) // 8 * 8)
        return Rung(
            {"max_length": length},
            f"the longest example {config.max_length:,} to {length:,} tokens: longer answers lose their end",
        )
    return None
