"""Charts of what is preferred, by how much, and what moves for it."""

import math

from workbench.core.monitoring.charts.curves import Curves, Drawn
from workbench.core.monitoring.health.rules import FIRST_FIFTH, RULES
from workbench.core.monitoring.readings import preference
from workbench.core.monitoring.readings.preference import SLIGHT
from workbench.core.statistics import wilson
from workbench.core.training.methods import Method

_ZERO = [{"y": 0.0, "label": "0"}]

# Of raw scores, which have no unit: less than this is no difference.
_LEAST_SCORE = 0.05


def margin(curves: Curves) -> Drawn:
    measure = "margin of scores" if curves.method.scores else "reward margin"
    beta = curves.beta or 1.0
    found = preference.margin(*curves.both_series("rewards/margins"), _least(curves) * beta, most=_most(curves) * beta)
    return {"measure": measure, "lines": curves.both("rewards/margins"), "references": _ZERO, "reading": found}


def margin_in_nats(curves: Curves) -> Drawn:
    """Without beta, so that runs with another one compare. Of a method without a reference each token counts alike."""
    if not curves.beta:
        return {}
    unit = "nats" if curves.method.has_reference else "nats per token"
    key, factor = "rewards/margins", 1 / curves.beta
    found = preference.margin(*curves.both_series(key, factor), _least(curves), f" {unit}", _most(curves))
    lines = curves.both(key, factor)
    return {"measure": f"margin / beta ({unit})", "lines": lines, "references": _ZERO, "reading": found}


def _least(curves: Curves) -> float:
    """The smallest margin that counts, in nats or in the units of a score."""
    if curves.method.scores:
        return _LEAST_SCORE
    if not curves.method.has_reference:
        return preference.LEAST_PER_TOKEN
    # A large beta makes much of few nats.
    return min(preference.LEAST_NATS, preference.LEAST_FELT / (curves.beta or 1.0))


def _most(curves: Curves) -> float:
    """From so many nats on the model has run away: fewer while it has hardly begun."""
    if not curves.method.has_reference or "chosen" not in curves.tokens or not curves.beta:
        return math.inf
    early = curves.rows[-1]["step"] <= FIRST_FIFTH * curves.rows[-1].get("steps", 0)
    return RULES["too_fast"].limit * curves.tokens["chosen"] * (1 if early else 2)


def accuracy(curves: Curves) -> Drawn:
    training, held_out = curves.both_series("rewards/accuracies")
    batch = curves.config.effective_batch if curves.config else 1
    found = preference.accuracy(training, held_out, curves.pairs, batch, _hardly_moved(curves))
    lines = curves.both("rewards/accuracies")
    if curves.pairs:
        points = [(step, share) for step, share in lines[1]["points"] if share is not None]
        lines[1]["band"] = [[step, *(round(end, 4) for end in wilson(share, curves.pairs))] for step, share in points]
    chance = [{"y": 0.5, "label": "chance"}]
    return {"measure": "reward accuracy", "lines": lines, "references": chance, "reading": found}


def _hardly_moved(curves: Curves) -> bool:
    """Of a method with a reference, whose margin begins at 0."""
    _, margins = curves.both_series("rewards/margins")
    if not curves.method.has_reference or not len(margins):
        return False
    return abs(margins.values[-1]) < SLIGHT * _least(curves) * (curves.beta or 1.0)


def rewards(curves: Curves) -> Drawn:
    method = curves.method
    if method.scores:
        found = preference.scores(*curves.side_series("rewards"))
    else:
        # Without the settings a reward is as it is logged, in units of beta.
        factor = 1 / (curves.beta or 1.0)
        both = curves.side_series("rewards", {"chosen": factor, "rejected": factor})
        least = _least(curves) * (1.0 if curves.beta else 0.1)
        tokens = curves.tokens.get("chosen") if method.has_reference and curves.beta else None
        found = preference.sides(*both, least, curves.beta if method.has_reference else None, tokens)
    references = [{"y": 0.0, "label": "reference model"}] if method.has_reference else []
    return {
        "measure": _rewards_measure(method),
        "lines": curves.sides("rewards"),
        "references": references,
        "reading": found,
    }


def _rewards_measure(method: Method) -> str:
    if method.scores:
        return "raw score"
    return "implicit reward" if method.has_reference else "beta × log-probability per token"


def log_probabilities(curves: Curves) -> Drawn:
    """Methods without a reference go by tokens themselves; the others log those of whole answers."""
    by = _each_token(curves) if curves.method.has_reference else {"chosen": 1.0, "rejected": 1.0}
    if not by:
        return {}
    found = preference.probabilities(*curves.side_series("logps", by))
    return {"measure": "log-probability (nats per token)", "lines": curves.sides("logps", by), "reading": found}


def drift(curves: Curves) -> Drawn:
    by = _each_token(curves)
    if not by or not curves.beta or not curves.method.has_reference:
        return {}
    by = {side: factor / curves.beta for side, factor in by.items()}
    found = preference.drift(*curves.side_series("rewards", by))
    return {
        "measure": "log-ratio to the reference (nats per token)",
        "lines": curves.sides("rewards", by),
        "references": [{"y": 0.0, "label": "reference model"}],
        "reading": found,
    }


def _each_token(curves: Curves) -> dict[str, float]:
    """What the numbers of whole answers are multiplied by to be those of a token; {} where tokens were not counted."""
    return {side: 1 / count for side, count in curves.tokens.items()}
