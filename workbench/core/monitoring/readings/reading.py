"""What is said of a curve."""

from dataclasses import dataclass
from typing import Literal

from workbench.core.monitoring.readings.series import Series

Tone = Literal["early", "fine", "watch", "trouble"]
"""early: too few numbers to judge. fine: as it should be. watch: look at it again. trouble: something is wrong."""

# Logged rows of training below which only their last figure is told.
FEWEST = 6


@dataclass(frozen=True)
class Reading:
    """claim: what the curve does, in a word that tests compare. text: a sentence or two for the page."""

    claim: str
    tone: Tone
    text: str


def too_early(training: Series, held_out: Series) -> bool:
    """Whether neither training nor evaluations have enough points to speak of a direction."""
    return len(training) < FEWEST and len(held_out) < 2


def early(what: str, now: float | None = None) -> Reading:
    """Said of a curve that has hardly begun. what: its name, with a capital letter."""
    figure = "" if now is None else f"{what} is {figure_of(now)}. "
    return Reading("early", "early", f"{figure}Too few steps yet to see where it goes.")


def lost(what: str, step: int) -> Reading:
    """Said of a curve whose last value is no number."""
    return Reading("broken", "trouble", f"{what} is not a number at step {step:,}: the run has diverged.")


def figure_of(value: float) -> str:
    """Three figures, as a person would write them."""
    if abs(value) < 1e-4:
        return "about 0" if value else "0"
    size = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.2e}"
    return size.replace("-", "−")


def since(step: int | None) -> str:
    """ " since step 40"; nothing where it was so from the beginning."""
    return "" if step is None else f" since step {step:,}"
