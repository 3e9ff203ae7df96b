"""What the curves do that every stage has."""

import statistics

from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.readings.reading import FEWEST, Reading, Tone, early, figure_of, lost
from workbench.core.monitoring.readings.series import Series

# A speed below this share of what was usual is slow.
SLOW = 0.65

# A norm of so many times the usual one is told; the rule about exploding speaks later, or when the loss is harmed.
HIGH = 5.0

# What rounding leaves of a gradient that is none.
NO_GRADIENT = 1e-6


def entropy(training: Series, held_out: Series) -> Reading:
    """Nats per token."""
    curve = held_out if len(held_out) > 1 else training
    if len(training) < FEWEST and len(held_out) < 2:
        return early("The entropy", curve.now if len(curve) else None)
    went = f"It went from {figure_of(curve.start)} to {figure_of(curve.now)} nats per token"
    ratio = curve.now / curve.start if curve.start > 0 else 1.0
    if ratio < RULES["entropy_collapses"].limit:
        return Reading(
            "collapsed", "trouble", f"{went}: it is nearly certain of every token, and says the same again and again."
        )
    if ratio > 1.3 and curve.moved() > 0:
        return Reading("rises", "watch", f"{went}: it is less sure than at the start. Read its answers.")
    if ratio < 0.7:
        return Reading("surer", "fine", f"{went}: it has become surer, which is usual.")
    return Reading("even", "fine", f"It is {figure_of(curve.now)} nats per token, about as open as at the start.")


def speed(training: Series) -> Reading:
    """Tokens per second."""
    if len(training) < FEWEST:
        return early("The speed in tokens per second", training.now if len(training) else None)
    usual = statistics.median(training.values[1 : -training.window] or training.values)
    now = f"{figure_of(training.now)} tokens per second"
    if training.window > 2 and training.now < SLOW * usual:
        return Reading(
            "slower", "watch", f"{now}; {figure_of(usual)} were usual in this run. Does something else use the machine?"
        )
    return Reading(
        "even", "fine", f"{now}, {'about as fast as it began' if training.now < 1.3 * usual else 'faster than before'}."
    )


def memory(used: Series, forecast: float | None) -> Reading:
    """Gigabytes. forecast: of the longest batch, which is rare; None where there is none."""
    if len(used) < 2:
        return early("The memory in GB", used.now if len(used) else None)
    most, now = max(used.values), f"{figure_of(used.now)} GB now, {figure_of(max(used.values))} GB at most"
    later = Series(used.steps[len(used) // 3 :], used.values[len(used) // 3 :])
    if len(later) >= 2 * FEWEST and later.moved(0.1 * later.start) > 0 and later.goes_on():
        return Reading("grows", "watch", f"{now}, and it grows from step to step: something is not let go.")
    if forecast and most > 1.05 * forecast:
        return Reading("over", "watch", f"{now}: more than the {figure_of(forecast)} GB that were forecast.")
    if forecast:
        return Reading("fits", "fine", f"{now}; {figure_of(forecast)} GB were forecast for the longest batch.")
    return Reading("even", "fine", f"{now}.")


def learning_rate(rates: Series) -> Reading:
    if not len(rates):
        return early("The learning rate")
    now, highest = rates.values[-1], max(rates.values)
    if not highest:
        return Reading("begins", "early", "It is 0 in the first step of a warm-up, and rises from there.")
    if now == highest and len(rates) > 1 and rates.values[-2] < highest:
        return Reading(
            "warms up", "fine", f"Now {now:.3g} and rising: the warm-up, in which steps are small on purpose."
        )
    if now > 0.99 * highest:
        return Reading("high", "fine", f"Now {now:.3g}, its highest.")
    if now < 0.05 * highest:
        return Reading("ends", "fine", f"Now {now:.3g}: the steps have become so small that the run settles.")
    return Reading(
        "falls", "fine", f"Now {now:.3g}, {now / highest:.0%} of its highest, and falling to let the run settle."
    )


def gradient(norms: Series) -> Reading:
    """norms: every point of the curve, not means of neighbours."""
    if norms.lost is not None:
        return lost("The gradient", norms.lost)
    if len(norms) < FEWEST:
        return early("The gradient norm", norms.now if len(norms) else None)
    if max(norms.values[-3:]) < NO_GRADIENT:
        return Reading("zero", "trouble", "The gradient is 0: nothing is learned.")
    # The first ones count besides all: at the end of a good run gradients are small, and any hard example jumps out.
    usual = max(statistics.median(norms.values), statistics.median(norms.values[:10]))
    high = [(step, value) for step, value in zip(norms.steps, norms.values, strict=True) if value > HIGH * usual > 0]
    if norms.now > HIGH * norms.start > 0 and norms.moved() > 0:
        return Reading(
            "grows",
            "watch",
            f"It has grown from {figure_of(norms.start)} to {figure_of(norms.now)}: the steps get rougher.",
        )
    moved = norms.moved(0.2 * norms.start)
    went = (
        f"It went from {figure_of(norms.start)} to {figure_of(norms.now)}"
        if moved
        else f"Even, about {figure_of(norms.now)}"
    )
    if not high:
        return Reading("even", "fine", f"{went}, without jumps.")
    step, value = max(high, key=lambda one: one[1])
    words = f"At step {step:,} it jumped to {figure_of(value)}, {value / usual:.0f} times what is usual"
    if len(high) > max(2, len(norms) // 20):
        return Reading(
            "jumps", "watch", f"{words}, and it jumped {len(high)} times: a lower learning rate would be steadier."
        )
    tone: Tone = "watch" if value > RULES["exploding"].limit * usual else "fine"
    return Reading("jumps", tone, f"{words}. A single jump is harmless where the loss goes on as before.")


def score_spread(deviation: Series) -> Reading:
    """Of a reward model's scores."""
    if len(deviation) < 2:
        return early("The spread of the scores", deviation.now if len(deviation) else None)
    went = f"The spread of its scores went from {figure_of(deviation.start)} to {figure_of(deviation.now)}"
    level = None if deviation.goes_on() else deviation.level_since()
    if level is not None:
        return Reading("level", "fine", f"{went}, level since step {level:,}.")
    if deviation.moved(0.05 * abs(deviation.start)) > 0:
        return Reading(
            "grows", "fine", f"{went} and still grows. It is a scale of its own; see whether accuracy grows with it."
        )
    return Reading("even", "fine", f"{went}.")
