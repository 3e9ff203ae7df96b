"""All rules over all that was logged."""

from collections.abc import Callable, Sequence

from workbench.core.monitoring.health import every_stage, preference, sft
from workbench.core.monitoring.health.curve import Curve, curve_of
from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.metrics import Row
from workbench.core.severity import Severity
from workbench.core.training.config import RunConfig, Stage

Look = Callable[[Curve], RunFinding | None]

OF_EVERY_STAGE: tuple[Look, ...] = (
    every_stage.exploding, every_stage.nothing_moves, every_stage.seen_often, every_stage.no_end,
    every_stage.repeats_itself,
)  # fmt: skip

OF_PREFERENCES: tuple[Look, ...] = (
    *OF_EVERY_STAGE, every_stage.length_exploited, preference.wrong_reference, preference.repeated,
    preference.hardly_moves, preference.beta_too_low, preference.beta_too_high, preference.too_easy,
    preference.too_fast, preference.chosen_falls, preference.rate_too_high, preference.over_optimised,
)  # fmt: skip

# Without a reference rewards do not start at 0, so that what is said of DPO's does not hold.
WITHOUT_REFERENCE: tuple[Look, ...] = (
    *OF_EVERY_STAGE, every_stage.answers_alike, every_stage.length_exploited, preference.length_decides,
)  # fmt: skip

STAGE_RULES: dict[Stage, tuple[Look, ...]] = {
    "sft": (*OF_EVERY_STAGE, every_stage.answers_alike, sft.sft_rises, sft.sft_stuck, sft.sft_too_easy, sft.by_heart),
    "dpo": (
        *OF_PREFERENCES, every_stage.answers_alike, preference.not_learning, preference.held_out_at_chance,
        preference.length_decides,
    ),
    # Single answers have no accuracy, and nothing to be longer than; and a thumb down may stand below the same each time.
    "kto": (*OF_PREFERENCES, preference.thumbs_not_learned),
    "orpo": WITHOUT_REFERENCE,
    "simpo": WITHOUT_REFERENCE,
}  # fmt: skip

# What follows from a finding need not be said beside it.
EXPLAINS = {
    "wrong_reference": set(RULES) - {"wrong_reference", "exploding"},
    "nothing_moves": {"not_learning", "hardly_moves", "sft_stuck", "repeated"},
    # Steps that are only too small go the right way all the same, and labels that contradict each other cancel out.
    "not_learning": {"hardly_moves"},
    "answers_alike": {"too_easy", "too_fast"},
    "repeated": {"too_easy", "too_fast", "held_out_at_chance", "seen_often"},
    "too_fast": {"too_easy"},
    "by_heart": {"seen_often"},
    "sft_too_easy": {"by_heart"},
}

_SEVERITIES: tuple[Severity, ...] = ("blocker", "warning", "info")


def examine(rows: Sequence[Row], config: RunConfig, plan: dict[Stage, int]) -> list[RunFinding]:
    """What is wrong with a run so far, the gravest first. rows: as Run.metrics gives them; plan: stage -> steps."""
    found = []
    for stage, rules in STAGE_RULES.items():
        curve = curve_of(rows, config, plan, stage)
        if curve:
            found += _unexplained([finding for rule in rules if (finding := rule(curve))])
    return sorted(found, key=lambda finding: (_SEVERITIES.index(finding.severity), finding.step))


def _unexplained(found: Sequence[RunFinding]) -> list[RunFinding]:
    explained = {other for finding in found for other in EXPLAINS.get(finding.rule, ())}
    return [finding for finding in found if finding.rule not in explained]
