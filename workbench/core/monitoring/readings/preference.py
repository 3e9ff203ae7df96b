"""What the margin, its two sides and the accuracy of a preference do now."""

import math

from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.readings.reading import FEWEST, Reading, early, figure_of, lost, since, too_early
from workbench.core.monitoring.readings.series import Series
from workbench.core.statistics import wilson

# Nats of a whole answer, or of a token where a method goes by tokens: less than this is no preference.
LEAST_NATS = 0.5
LEAST_PER_TOKEN = 0.02

# A margin in units of the loss that is a preference at any beta.
LEAST_FELT = 0.05

# A margin of this share of the least one that counts, twice in a row, is a slight preference.
SLIGHT = 0.1

# Of what training gained, the share that held-out must have gained to follow it.
FOLLOWS = 0.25

# Of its gain, the share that a margin must have lost for two evaluations to have turned.
TURNED = 0.15

# The lowest share that an interval allows from which on nobody asks whether it is chance.
BEYOND_DOUBT = 0.55

# Nats per token from the reference: up to the first a model stays close; up to RULES it moved, and was still fine.
CLOSE = 0.3


def margin(training: Series, held_out: Series, least: float, unit: str = "", most: float = math.inf) -> Reading:
    """least, most: the smallest margin that counts, and from where on the model has run away, in the unit of the curve."""
    if training.lost is not None:
        return lost("The margin", training.lost)
    if too_early(training, held_out):
        known = training or held_out
        return early("The margin", known.now if len(known) else None)
    grown, held = training.moved(least), held_out.moved(least) if len(held_out) > 1 else 0
    now = f"{figure_of((held_out if len(held_out) > 1 else training).now)}{unit}"
    if (held < 0 and held_out.now < -least) or (grown < 0 and training.now < -least and held <= 0):
        return Reading("inverted", "trouble", f"The margin is below 0, {now}: it prefers the rejected answers.")
    if (held_out if len(held_out) > 1 else training).now > most:
        words = (
            f"The margin is {now}, more than whole runs with known results have: the model runs away. Read its answers."
        )
        return Reading("runs away", "trouble", words)
    if len(held_out) < 2:
        return _in_training(training, grown, unit)
    turned = held_out.past(max, max(least, TURNED * (max(held_out.values) - held_out.start)))
    if turned is not None:
        best = f"{figure_of(held_out.at(turned))}{unit}"
        grows = training.goes_on() and grown > 0
        also = "while training still grows: overfitting" if grows else "and training does not grow any more either"
        return Reading("turned", "watch", f"Held-out was highest at step {turned:,}, {best}, and is {now} now, {also}.")
    if grown > 0 and len(training) >= FEWEST and _same_time(training, held_out):
        if held <= 0 or held_out.change < FOLLOWS * training.change:
            words = f"Training has grown to {figure_of(training.now)}{unit}, held-out stays behind at {now}"
            return Reading("behind", "watch", f"{words}: more of it is memorized than learned.")
        return _grown(training, held_out, now)
    if held > 0:
        return _grown(held_out, held_out, now)
    if len(held_out) > 2 and min(held_out.values[-2:]) > max(SLIGHT * least, held_out.start + 2 * held_out.noise):
        words = f"Held-out has come to {now} only: the preference is slight as yet."
        return Reading("slight", "early", words)
    if held < 0:
        return Reading("shrinks", "watch", f"Held-out has shrunk to {now}, less than at the start.")
    return Reading("flat", "watch", f"Held-out is {now}: no clear preference yet.")


def _in_training(training: Series, grown: int, unit: str) -> Reading:
    now = f"{figure_of(training.now)}{unit}"
    if grown > 0:
        words = f"The margin has grown{since(training.moving_since())} to {now}. Held-out has not been measured since the start."
        return Reading("grows", "fine", words)
    if grown < 0:
        return Reading("shrinks", "watch", f"The margin has shrunk to {now}, less than at the start.")
    return Reading("flat", "early", f"The margin is {now}: no more than the noise between steps.")


def _same_time(training: Series, held_out: Series) -> bool:
    """Whether the last evaluation is not older than the last third of the training steps."""
    return 3 * (training.steps[-1] - held_out.steps[-1]) <= training.steps[-1] - training.steps[0]


def _grown(curve: Series, held_out: Series, now: str) -> Reading:
    level = None if held_out.goes_on() else held_out.level_since()
    if held_out.now <= 0:
        words = (
            f"Held-out has grown from {figure_of(held_out.start)} to {now}, and does not favour the chosen answers yet."
        )
        return Reading("below 0", "early", words)
    if level is not None:
        return Reading(
            "grows", "fine", f"The margin grew, and held-out has been level at {now} since step {level:,}: healthy."
        )
    return Reading(
        "grows", "fine", f"The margin has grown{since(curve.moving_since())} and held-out follows, now {now}: healthy."
    )


def accuracy(training: Series, held_out: Series, pairs: int, batch: int = 1, hardly_moved: bool = False) -> Reading:
    """pairs: held-out ones; 0 where that is not known. batch: pairs of a training step.

    hardly_moved: whether the margins are next to nothing. What little a model moves then it moves for all pairs alike, so
    that they do not count as so many independent ones.
    """
    if not len(held_out):
        if len(training) < FEWEST:
            figure = f"In training it is {training.now:.0%}. " if len(training) else ""
            return Reading("early", "early", f"{figure}Too few steps yet to see where it goes.")
        return Reading(
            "in training", "early", f"In training the chosen answer wins in {training.now:.0%} of the last pairs."
        )
    now, share = held_out.values[-1], f"{held_out.values[-1]:.0%}"
    if pairs < 1:
        return Reading(
            "measured", "early", f"On held-out pairs the chosen answer wins in {share} of cases; half is chance."
        )
    low, high = wilson(now, pairs)
    words = f"On {pairs:,} held-out {'pair' if pairs == 1 else 'pairs'} the chosen answer wins in {share} of cases, 95% interval {low:.0%} to {high:.0%}: "
    recent = training.values[-10:]
    share_of_late = min(1.0, sum(recent) / max(1, len(recent)))
    lowest = wilson(share_of_late, len(recent) * batch)[0] if len(recent) >= FEWEST else 0.0
    if low <= 0.5 <= high and lowest - high >= RULES["held_out_at_chance"].limit:
        words += f"chance, while training is at {training.now:.0%}: it learns the training pairs only."
        return Reading("memorizes", "watch", words)
    if hardly_moved and not low <= 0.5 <= high:
        words += "but the margins are next to nothing as yet, so that this may still turn round."
        return Reading("too small", "early", words)
    if low > 0.5:
        return Reading("above", "fine", f"{words}{'clearly ' if low > BEYOND_DOUBT else ''}better than chance.")
    if high < 0.5:
        return Reading(
            "below", "trouble", words + "worse than chance. Is chosen the worse answer in the training data?"
        )
    return Reading("chance", "watch", words + "it cannot be told from chance yet.")


def sides(
    chosen: Series, rejected: Series, least: float, beta: float | None = None, tokens: float | None = None
) -> Reading:
    """The two sides of the margin, in nats.

    least: the smallest change that counts. beta: of a method with a reference. tokens: of a chosen answer, where the curves
    are those of whole answers.
    """
    if chosen.lost is not None:
        return lost("A reward", chosen.lost)
    if min(len(chosen), len(rejected)) < 2:
        return early("The reward of the chosen answers", chosen.now if len(chosen) else None)
    rise, fall = _change(chosen, least), -_change(rejected, least)
    gap = rise + fall
    clear = max(least, 2 * math.hypot(chosen.error, rejected.error))
    moves = f"chosen {_moved(rise)}, rejected {_moved(-fall)}"
    if not rise and not fall:
        return Reading("flat", "watch", "Neither has moved clearly yet: they do not part.")
    if rise < 0 and tokens and -rise > RULES["chosen_falls"].limit * tokens:
        words = f"The chosen answers have become improbable: {moves}, which is {-rise / tokens:.1f} nats per token of theirs."
        return Reading("displaced", "trouble", words)
    if gap < -clear:
        return Reading("inverted", "trouble", f"The wrong way round: {moves}.")
    if rise < -clear and gap <= max(-rise / 10, clear):
        return Reading("together", "trouble", f"Both fall together: {moves}. The preference gains nothing by it.")
    if rise < 0 and gap > least:
        why = f", normal at beta {beta:g}" if beta else ", which is normal"
        return Reading("both fall", "fine", f"Chosen is falling{why}; rejected falls faster: {moves}.")
    if gap <= least:
        return Reading("flat", "watch", f"They hardly part yet: {moves}.")
    if not rise:
        return Reading("rejected falls", "fine", f"They part by the rejected answers falling, the usual way: {moves}.")
    if fall > 0:
        return Reading("both part", "fine", f"They part to both sides, which is good: {moves}.")
    return Reading("chosen rises", "fine", f"They part by the chosen answers rising: {moves}.")


def _change(curve: Series, least: float) -> float:
    return curve.change if curve.moved(least / 2) else 0.0


def _moved(nats: float) -> str:
    size = f"{nats:+.3g}" if abs(nats) < 100 else f"{nats:+,.0f}"
    return f"{size} nats".replace("-", "−") if nats else "about as at the start"


def scores(chosen: Series, rejected: Series) -> Reading:
    """The scores of a reward model, of which only the gap counts."""
    if min(len(chosen), len(rejected)) < 2:
        return early("The score of the chosen answers", chosen.now if len(chosen) else None)
    gap, size = chosen.now - rejected.now, f"{chosen.now:+.2f} against {rejected.now:+.2f}".replace("-", "−")
    if gap < -0.05:
        return Reading("inverted", "trouble", f"Chosen answers are scored lower than rejected ones: {size}.")
    if gap < 0.05:
        return Reading("flat", "watch", f"Both are scored alike, {size}: it cannot tell them apart yet.")
    return Reading(
        "part", "fine", f"Chosen answers are scored higher, {size}. Only the gap counts, not where the two lie."
    )


def probabilities(chosen: Series, rejected: Series) -> Reading:
    """Log-probabilities per token, in nats. A typical token's probability is the exponential of their mean."""
    if min(len(chosen), len(rejected)) < 2:
        return early("A chosen token's log-probability", chosen.now if len(chosen) else None)
    rise, fall = _change(chosen, LEAST_PER_TOKEN), -_change(rejected, LEAST_PER_TOKEN)
    words = f"A typical chosen token went from {_chance(chosen.start)} to {_chance(chosen.now)}, a rejected one "
    words += f"from {_chance(rejected.start)} to {_chance(rejected.now)}"
    if rise < -RULES["chosen_falls"].limit:
        return Reading("displaced", "trouble", f"{words}: the chosen answers have become improbable.")
    if rise < -0.1 and rise + fall <= -rise / 10:
        return Reading("together", "trouble", f"{words}: both fall together, and the probability goes to other text.")
    if rise + fall < -LEAST_PER_TOKEN:
        return Reading("inverted", "trouble", f"{words}: the wrong way round.")
    if not rise and not fall:
        return Reading("flat", "watch", f"{words}: nothing has moved clearly.")
    if rise < 0:
        return Reading("both fall", "fine", f"{words}: chosen falls too, less than rejected, which is normal.")
    kept = "has become likelier" if rise else "is kept"
    return Reading("part", "fine", f"{words}: chosen {kept}, and the two part.")


def _chance(nats: float) -> str:
    share = math.exp(min(nats, 0.0))
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"


def drift(chosen: Series, rejected: Series) -> Reading:
    """Log-ratios to the reference per token, in nats."""
    if chosen.lost is not None:
        return lost("The drift", chosen.lost)
    if min(len(chosen), len(rejected)) < 2:
        return early("The drift", chosen.now if len(chosen) else None)
    words = f"Per token chosen answers are {_signed(chosen.now)} nats from the reference, rejected ones {_signed(rejected.now)}"
    limit = RULES["chosen_falls"].limit
    if abs(chosen.now) > limit or abs(rejected.now) > 2 * limit:
        return Reading("far", "trouble", f"{words}: so far that its language may break. Read its answers.")
    if max(abs(chosen.now), abs(rejected.now)) > CLOSE:
        return Reading("moved", "fine", f"{words}: it has clearly moved; runs with known results went as far.")
    return Reading("close", "fine", f"{words}: it stays close.")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
