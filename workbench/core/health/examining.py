"""All rules over all that was logged."""

from collections.abc import Callable, Sequence

from workbench.core.config import RunConfig, Stage
from workbench.core.findings import Weight
from workbench.core.health import dpo, every_stage, sft
from workbench.core.health.curve import Curve, curve_of
from workbench.core.health.finding import RunFinding
from workbench.core.health.rules import RULES
from workbench.core.metrics import Row

Look = Callable[[Curve], RunFinding | None]

OF_EVERY_STAGE: tuple[Look, ...] = (
    every_stage.exploding, every_stage.nothing_moves, every_stage.seen_often, every_stage.answers_alike,
    every_stage.no_end, every_stage.length_exploited,
)  # fmt: skip

STAGE_RULES: dict[Stage, tuple[Look, ...]] = {
    "sft": (*OF_EVERY_STAGE, sft.sft_rises, sft.sft_stuck, sft.sft_too_easy, sft.by_heart),
    "dpo": (
        *OF_EVERY_STAGE, dpo.wrong_reference, dpo.repeated, dpo.not_learning, dpo.hardly_moves, dpo.beta_too_low,
        dpo.beta_too_high, dpo.too_easy, dpo.chosen_falls, dpo.rate_too_high, dpo.held_out_at_chance,
        dpo.over_optimised, dpo.length_decides,
    ),
    "kto": (every_stage.exploding, every_stage.nothing_moves),
    # Without a reference rewards do not start at 0, so that what is said of DPO's does not hold.
    "orpo": OF_EVERY_STAGE,
    "simpo": OF_EVERY_STAGE,
}  # fmt: skip

# The limits of these were set on runs with the sigmoid loss; other losses have other scales.
OF_SIGMOID: tuple[Look, ...] = (
    dpo.wrong_reference, dpo.hardly_moves, dpo.beta_too_low, dpo.beta_too_high, dpo.too_easy, dpo.chosen_falls,
    dpo.rate_too_high, dpo.over_optimised,
)  # fmt: skip

# What follows from a finding need not be said beside it.
EXPLAINS = {
    "wrong_reference": set(RULES) - {"wrong_reference", "exploding"},
    "nothing_moves": {"not_learning", "hardly_moves", "sft_stuck", "repeated"},
    "hardly_moves": {"not_learning"},
    "repeated": {"too_easy", "held_out_at_chance", "seen_often"},
    "by_heart": {"seen_often"},
    "sft_too_easy": {"by_heart"},
}

_WEIGHTS: tuple[Weight, ...] = ("stop", "care", "info")


def examine(rows: Sequence[Row], config: RunConfig, plan: dict[Stage, int]) -> list[RunFinding]:
    """What is wrong with a run so far, the gravest first. rows: as Run.metrics gives them; plan: stage -> steps."""
    found = []
    is_sigmoid = config.dpo.loss == "sigmoid" and not config.dpo.sft_weight
    for stage, rules in STAGE_RULES.items():
        curve = curve_of(rows, config, plan, stage)
        fitting = [rule for rule in rules if is_sigmoid or rule not in OF_SIGMOID]
        if curve:
            found += _unexplained([finding for rule in fitting if (finding := rule(curve))])
    return sorted(found, key=lambda finding: (_WEIGHTS.index(finding.weight), finding.step))


def _unexplained(found: Sequence[RunFinding]) -> list[RunFinding]:
    explained = {other for finding in found for other in EXPLAINS.get(finding.rule, ())}
    return [finding for finding in found if finding.rule not in explained]
