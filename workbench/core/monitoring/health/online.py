"""What can go wrong with a method that learns from answers of its own."""

from collections.abc import Sequence

from workbench.core.monitoring.health.curve import WINDOW, Curve, found_by, has, mean
from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.metrics import Row


def divergence_too_large(curve: Curve) -> RunFinding | None:
    rows = _last(curve, "kl")
    if not rows or (found := mean(rows, "kl")) <= RULES["divergence_too_large"].limit:
        return None
    return found_by("divergence_too_large", curve, f"It is {found:.2f} nats per token away from its reference.")


def no_spread(curve: Curve) -> RunFinding | None:
    rows = _last(curve, "frac_reward_zero_std")
    if not rows or (found := mean(rows, "frac_reward_zero_std")) <= RULES["no_spread"].limit:
        return None
    return found_by(
        "no_spread",
        curve,
        f"In {found:.0%} of the groups of the last {len(rows)} steps all answers were worth the same.",
    )


def length_explodes(curve: Curve) -> RunFinding | None:
    key = "completions/mean_length"
    begun, now = _first(curve, key), _last(curve, key)
    if not begun or not now or mean(now, key) <= RULES["length_explodes"].limit * mean(begun, key):
        return None
    return found_by(
        "length_explodes", curve, f"Answers went from {mean(begun, key):.0f} to {mean(now, key):.0f} tokens."
    )


def entropy_collapses(curve: Curve) -> RunFinding | None:
    begun, now = _first(curve, "entropy"), _last(curve, "entropy")
    if not begun or not now or mean(now, "entropy") >= RULES["entropy_collapses"].limit * mean(begun, "entropy"):
        return None
    return found_by(
        "entropy_collapses",
        curve,
        f"The entropy fell from {mean(begun, 'entropy'):.2f} to {mean(now, 'entropy'):.2f} nats per token.",
    )


def _first(curve: Curve, key: str) -> Sequence[Row]:
    return _enough([row for row in curve.trained if has(row, key)][:WINDOW])


def _last(curve: Curve, key: str) -> Sequence[Row]:
    """Of at least twice as many steps: the first ones are what it is compared with."""
    rows = [row for row in curve.trained if has(row, key)]
    return _enough(rows[-WINDOW:]) if len(rows) >= 2 * WINDOW else ()


def _enough(rows: Sequence[Row]) -> Sequence[Row]:
    return rows if len(rows) == WINDOW else ()
