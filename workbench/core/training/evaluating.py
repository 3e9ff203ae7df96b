"""How often and on how many examples a run measures itself, where that is left open: as much as a small part of its time allows.

It follows from the numbers of rows alone, not from a clock: so the same run on another day measures the same, and one that is
resumed goes on as it began.
"""

from collections.abc import Mapping
from typing import Any

from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import USUAL_EVALUATIONS, planned_steps

# Evaluations of a stage, besides the one before its first step. A method that answers by itself is measured at its end only: each
# of its steps measures answers to prompts that it has not learned from, and measuring it is four times as dear.
FEWEST, FEWEST_ONLINE = 3, 1
ENOUGH = 32  # examples: below that, rarer evaluations tell more than smaller ones

# Of a run's time; sample answers have theirs (MOST_OF_TIME in engine/samples.py), together at most a tenth.
SHARE = 0.06

# What measuring an example costs, in examples that are trained on. Medians of the demo model's runs: 0.5 (SFT, DPO), 0.6 (rewards);
# of a method that answers by itself 1.9, as it gives two answers to each prompt, which training counts one by one.
_READING, _ANSWERING = 0.55, 1.9
# The first evaluation asks the reference too, or meets caches that are cold.
_FIRST = 1.6


def settle_evaluations(config: RunConfig, rows: Mapping[Stage, int]) -> tuple[dict[str, Any], str]:
    """Settings in place of those that are left open, and in words where they are fewer than usual. rows: to train on, of each stage."""
    if config.evaluations:
        return {}, ""
    budget = min((_budget(config, stage, count) for stage, count in rows.items()), default=float("inf"))
    usual = config.held_out_limit
    fewest = FEWEST_ONLINE if any(METHODS[stage].online for stage in rows) else FEWEST
    often = next(
        (n for n in range(USUAL_EVALUATIONS, fewest, -1) if budget >= (n + _FIRST) * min(usual, ENOUGH)), fewest
    )
    least: int = RunConfig.model_fields["held_out_limit"].metadata[0].ge
    examples = int(max(least, min(usual, budget / (often + _FIRST))))
    found = {"evaluations": often, "held_out_limit": examples}
    if (often, examples) == (USUAL_EVALUATIONS, usual):
        return found, ""
    return found, (
        f"Each stage is measured {f'{often} times' if often > 1 else 'at its end'} and before its first step, on at most {examples:,} held-out examples: more would "
        "take more than a tenth of the time of so short a run, with the sample answers. Set Evaluations per stage to have it otherwise."
    )


def _budget(config: RunConfig, stage: Stage, rows: int) -> float:
    """Examples that may be measured in all evaluations of a stage."""
    trained = planned_steps(config, stage, rows) * config.effective_batch
    return SHARE / (1 - SHARE) * trained / (_ANSWERING if METHODS[stage].online else _READING)
