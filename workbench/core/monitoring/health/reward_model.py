"""What can go wrong with a reward model."""

from workbench.core.monitoring.health.curve import Curve, found_by, has
from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.metrics import Row
from workbench.core.statistics import wilson

FEWEST_HELD_OUT = 20  # pairs
FEWEST_SHORTER = 10  # pairs


def reward_at_chance(curve: Curve) -> RunFinding | None:
    measured = _measured(curve)
    if measured is None or curve.progress < 0.5 or measured["eval_reward/pairs"] < FEWEST_HELD_OUT:
        return None
    accuracy, pairs = measured["eval_rewards/accuracies"], int(measured["eval_reward/pairs"])
    if wilson(accuracy, pairs)[0] > RULES["reward_at_chance"].limit:
        return None
    return found_by(
        "reward_at_chance", curve, f"It scores the chosen answer higher in {accuracy:.0%} of {pairs:,} held-out pairs."
    )


def reward_is_length(curve: Curve) -> RunFinding | None:
    measured = _measured(curve)
    if measured is None or not has(measured, "eval_reward/shorter_accuracy", "eval_reward/shorter_pairs"):
        return None
    shorter, pairs = measured["eval_reward/shorter_accuracy"], int(measured["eval_reward/shorter_pairs"])
    overall = wilson(measured["eval_rewards/accuracies"], int(measured["eval_reward/pairs"]))[0]
    limit = RULES["reward_is_length"].limit
    if pairs < FEWEST_SHORTER or wilson(shorter, pairs)[1] >= limit or overall <= limit:
        return None
    return found_by(
        "reward_is_length",
        curve,
        f"It is right in {measured['eval_rewards/accuracies']:.0%} of the held-out pairs, but only in {shorter:.0%} of the "
        f"{pairs:,} whose chosen answer is the shorter one.",
    )


def reward_saturated(curve: Curve) -> RunFinding | None:
    measured = _measured(curve)
    if measured is None or measured["eval_rewards/margins"] <= RULES["reward_saturated"].limit:
        return None
    return found_by(
        "reward_saturated",
        curve,
        f"Chosen and rejected answers are {measured['eval_rewards/margins']:.1f} apart on held-out pairs.",
    )


def _measured(curve: Curve) -> Row | None:
    """The last evaluation after a step."""
    row = next((row for row in reversed(curve.measured) if row["step"] > 0), None)
    return row if row and has(row, "eval_rewards/accuracies", "eval_rewards/margins", "eval_reward/pairs") else None
