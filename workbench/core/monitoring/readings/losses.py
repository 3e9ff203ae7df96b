"""What the loss of a stage does now."""

from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.readings.reading import Reading, early, figure_of, lost, too_early
from workbench.core.monitoring.readings.series import Series

# A share of the loss at the start: less than this is no change, or a rise that new data can cost at first.
UNCHANGED = 0.002
RISEN = 0.05
NOTHING_LEFT = 0.1


def loss(training: Series, held_out: Series, memorizes: bool = False) -> Reading:
    """By the held-out loss, which is measured on the same rows each time; by that of training where there is none yet.

    memorizes: whether a training loss far below the held-out one says that answers are learned by heart, as it does where
    both are nats per token.
    """
    if training.lost is not None:
        return lost("The training loss", training.lost)
    if held_out.lost is not None:
        return lost("The held-out loss", held_out.lost)
    if too_early(training, held_out):
        known = training or held_out
        return early("The loss", known.now if len(known) else None)
    return _held_out(training, held_out, memorizes) if len(held_out) > 1 else _training(training)


def _held_out(training: Series, held_out: Series, memorizes: bool) -> Reading:
    start, now = held_out.values[0], held_out.values[-1]
    went = f"from {figure_of(start)} to {figure_of(now)}"
    best = held_out.past(min, RULES["over_optimised"].limit * abs(min(held_out.values)))
    if now > start + max(RISEN * abs(start), 3 * held_out.noise):
        return Reading("rises", "trouble", f"Held-out has risen {went}: the model is worse than at the start.")
    if best is not None:
        lowest = figure_of(held_out.at(best))
        words = (
            f"Held-out was lowest at step {best:,}, {lowest}, and is {figure_of(now)} now: past its best, it overfits."
        )
        return Reading("past its best", "watch", words)
    if abs(now - start) <= max(UNCHANGED * abs(start), 2 * held_out.noise):
        falls = training.moved(UNCHANGED * abs(start)) < 0 and len(training) >= 3 * len(held_out)
        more = (
            " while training falls: it learns the training examples only" if falls else ": the loss has not moved yet"
        )
        return Reading("flat", "watch", f"Held-out is {figure_of(now)}, as at the start{more}.")
    beside = f"; training is at {figure_of(training.now)}" if len(training) else ""
    if memorizes and len(training) and training.now < now / 2:
        words = f"Held-out went {went}, and training is at {figure_of(training.now)}, less than half: it begins to memorize."
        return Reading("memorizes", "watch", words)
    if now < NOTHING_LEFT * start:
        words = f"Held-out fell {went}: next to nothing is left to learn. Either the pairs are easy, or the steps are too large."
        return Reading("nothing left", "watch", words.replace("the pairs", "the examples") if memorizes else words)
    if now > start:
        return Reading("flat", "watch", f"Held-out went {went}, which is no progress yet{beside}.")
    level = None if held_out.goes_on() else held_out.level_since()
    how = "and still falls" if level is None else f"and has been level since step {level:,}"
    return Reading("falls", "fine", f"Held-out fell {went} {how}{beside}: as it should be.")


def _training(training: Series) -> Reading:
    went = f"from {figure_of(training.start)} to {figure_of(training.now)}"
    moved = training.moved(UNCHANGED * abs(training.start))
    if moved > 0 and training.change > RISEN * abs(training.start):
        return Reading("rises", "trouble", f"The training loss has risen {went}.")
    if moved < 0:
        return Reading(
            "falls", "fine", f"The training loss fell {went}. Held-out has not been measured since the start."
        )
    words = (
        f"The training loss is about {figure_of(training.now)}, as at the start: no more than the noise between steps."
    )
    return Reading("flat", "early", words)
