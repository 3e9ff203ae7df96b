"""What the answers do that a model writes and learns from."""

from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.readings.reading import FEWEST, Reading, early, figure_of, lost, since
from workbench.core.monitoring.readings.series import Series

# Share of answers that end by themselves: below the first it is worth a look, above the second all is well.
FEW_END, MOST_END = 0.8, 0.95


def reward(training: Series, held_out: Series) -> Reading:
    if training.lost is not None:
        return lost("The reward", training.lost)
    if len(training) < FEWEST:
        known = held_out if len(held_out) else training
        return early("The reward", known.now if len(known) else None)
    measured = len(held_out) > 1
    curve = held_out if measured else training
    who = "On held-out prompts it" if measured else "In training it"
    went = f"went from {_two_digits(curve.start)} to {_two_digits(curve.now)}"
    # An evaluation has more answers than a step, so less noise; of few evaluations it cannot be told by themselves.
    least = max(0.02 * max(abs(curve.start), abs(curve.now)), 0.2 * training.noise)
    moved = curve.moved(least)
    turned = curve.past(max, max(0.15 * (max(curve.values) - curve.start), 2 * least)) if measured else None
    if moved < 0:
        return Reading("falls", "trouble", f"{who} {went}: the steps make the answers worse, as the reward sees it.")
    if turned is not None:
        words = f"{who} was highest at step {turned:,}, {_two_digits(curve.at(turned))}, and is {_two_digits(curve.now)} now."
        return Reading("turned", "watch", words)
    if moved > 0:
        return Reading(
            "rises",
            "fine",
            f"{who} {went}{since(curve.moving_since())}. Compare answers: a higher reward is not yet a better answer.",
        )
    if training.moved(least) > 0 and measured:
        return Reading(
            "behind", "watch", f"In training it rises, and on held-out prompts it stays at {_two_digits(curve.now)}."
        )
    return Reading("flat", "watch", f"{who} is {_two_digits(curve.now)}, about as at the start.")


def divergence(training: Series, held_out: Series) -> Reading:
    known = training if len(training) else held_out
    if not len(known):
        return early("The divergence")
    now, limit = known.now, RULES["divergence_too_large"].limit
    words = f"It is {now:.3f} nats per token from the reference"
    if len(training) < 5 and now <= limit:
        return Reading("early", "early", f"{words}. Too few steps yet to see where it goes.")
    if now > limit:
        return Reading(
            "far",
            "trouble",
            f"{words}: beyond {limit:g} answers often become odd. Read them before you trust the reward.",
        )
    if now > limit / 2:
        return Reading(
            "moved", "fine", f"{words}, more than half of the way to {limit:g}, where answers often become odd."
        )
    return Reading("close", "fine", f"{words}: it stays close.")


def length(training: Series) -> Reading:
    if len(training) < 10:
        return early("The mean length of its answers", training.now if len(training) else None)
    begun, now = training.start, training.now
    went = f"Its answers went from {begun:.0f} to {now:.0f} tokens"
    if now > RULES["length_explodes"].limit * begun:
        return Reading("grows", "trouble", f"{went}: the reward has a taste for length, or nothing rewards an end.")
    if now > 1.25 * begun and training.moved() > 0:
        return Reading("longer", "watch", f"{went}. See whether they say more.")
    if now < 0.5 * begun:
        return Reading("shorter", "watch", f"{went}. See whether they still say enough.")
    return Reading("even", "fine", f"Its answers have {now:.0f} tokens, about as many as at the start.")


def ending(training: Series, held_out: Series) -> Reading:
    """Shares of answers that end by themselves."""
    known = held_out if len(held_out) else training
    if not len(known):
        return early("The share of answers that end")
    now = f"{known.now:.0%} of its answers end by themselves"
    if known.now < FEW_END and known.change < -0.1:
        return Reading(
            "fewer", "trouble", f"{now}, at first {known.start:.0%}: more and more are cut, and judged unfinished."
        )
    if known.now < FEW_END:
        return Reading("cut", "watch", f"{now}; the others are cut. Let them be longer, or reward an end.")
    if known.now < MOST_END:
        return Reading("some cut", "fine", f"{now}; a few are cut.")
    return Reading("end", "fine", f"{now}: as it should be.")


def spread(share_without: Series, deviation: Series) -> Reading:
    """share_without: of groups whose answers are all worth the same. deviation: of the rewards."""
    if len(share_without) < 5:
        return early("The share of groups without any spread", share_without.now if len(share_without) else None)
    words = f"In {share_without.now:.0%} of the groups all answers are worth the same"
    words += f"; the spread is {figure_of(deviation.now)}" if len(deviation) else ""
    if share_without.now > RULES["no_spread"].limit:
        return Reading("little", "trouble", f"{words}: most groups teach nothing.")
    if share_without.now > RULES["no_spread"].limit / 2 and share_without.moved(0.1) > 0:
        return Reading("less", "watch", f"{words}, and there are more of them than at the start.")
    return Reading("enough", "fine", f"{words}: there is enough to learn from.")


def _two_digits(reward: float) -> str:
    return f"{reward:.2f}".replace("-", "−")
