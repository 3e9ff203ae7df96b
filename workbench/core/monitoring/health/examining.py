"""All rules over all that was logged."""

from collections.abc import Callable, Sequence
from itertools import chain

from workbench.core.monitoring.health import every_stage, online, preference, reward_model, sft
from workbench.core.monitoring.health.curve import Curve, curve_of
from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.metrics import Row
from workbench.core.severity import Severity
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS, RuleSet

Look = Callable[[Curve], RunFinding | None]

OF_EVERY_STAGE: tuple[Look, ...] = (
    every_stage.exploding, every_stage.nothing_moves, every_stage.seen_often, every_stage.no_end,
    every_stage.repeats_itself,
)  # fmt: skip

RULE_SETS: dict[RuleSet, tuple[Look, ...]] = {
    "imitation": (every_stage.answers_alike, sft.sft_rises, sft.sft_stuck, sft.sft_too_easy, sft.by_heart),
    "reference": (
        every_stage.length_exploited, preference.wrong_reference, preference.repeated, preference.hardly_moves,
        preference.beta_too_low, preference.beta_too_high, preference.too_soon, preference.chosen_falls,
        preference.rate_too_high, preference.over_optimised, preference.not_learning,
    ),
    # Single answers have nothing to be longer than, and a thumb down may stand below the same one each time.
    "reference pairs": (every_stage.answers_alike, preference.held_out_at_chance, preference.length_decides),
    "reward model": (
        every_stage.answers_alike, preference.held_out_at_chance, preference.length_decides,
        reward_model.reward_at_chance, reward_model.reward_is_length, reward_model.reward_saturated,
    ),
    "online": (
        online.divergence_too_large, online.no_spread, online.length_explodes, online.entropy_collapses,
    ),
    # Without a reference rewards do not start at 0, so that what is said of DPO's does not hold.
    "no reference": (every_stage.answers_alike, every_stage.length_exploited, preference.length_decides),
}  # fmt: skip
"""Which of them a method is watched by, besides those of every stage, stands in its `health` in the table of methods."""

# What follows from a finding need not be said beside it.
EXPLAINS = {
    "wrong_reference": set(RULES) - {"wrong_reference", "exploding"},
    "nothing_moves": {"not_learning", "hardly_moves", "sft_stuck", "repeated"},
    # Steps that are only too small go the right way all the same, and labels that contradict each other cancel out.
    "not_learning": {"hardly_moves"},
    "answers_alike": {"too_easy", "too_fast"},
    "repeated": {"too_easy", "too_fast", "held_out_at_chance", "seen_often"},
    "by_heart": {"seen_often"},
    "sft_too_easy": {"by_heart"},
}

_SEVERITIES: tuple[Severity, ...] = ("blocker", "warning", "info")


def examine(rows: Sequence[Row], config: RunConfig, plan: dict[Stage, int]) -> list[RunFinding]:
    """What is wrong with a run so far, the gravest first. rows: as Run.metrics gives them; plan: stage -> steps."""
    found = []
    for stage, method in METHODS.items():
        curve = curve_of(rows, config, plan, stage)
        if curve:
            rules = chain(OF_EVERY_STAGE, *(RULE_SETS[name] for name in method.health))
            found += _unexplained([finding for rule in rules if (finding := rule(curve))])
    return sorted(found, key=lambda finding: (_SEVERITIES.index(finding.severity), finding.step))


def _unexplained(found: Sequence[RunFinding]) -> list[RunFinding]:
    explained = {other for finding in found for other in EXPLAINS.get(finding.rule, ())}
    return [finding for finding in found if finding.rule not in explained]
