"""Where the time of a run went, by the clock of its workers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Work = Literal["loading", "data", "steps", "evaluation", "samples", "checkpoints"]

TITLES: dict[Work, str] = {
    "loading": "Loading",  # of libraries and model; the longest batch, which is tried first, is part of it
    "data": "Preparing the data",
    "steps": "Training steps",
    "evaluation": "Held-out evaluations",
    "samples": "Sample answers",
    "checkpoints": "Saving",
}
"""The kinds of work of a run, in the order in which it comes to them. Each second counts for one of them."""


@dataclass(frozen=True)
class Spent:
    """What one kind of work took. share: of all the time of the run, from 0 to 1."""

    work: Work
    seconds: float
    share: float

    @property
    def title(self) -> str:
        return TITLES[self.work]


def time_spent(seconds: Mapping[Work, float]) -> list[Spent]:
    """Kind by kind, without those that took nothing; empty where nobody counted, as in runs of earlier versions."""
    known = {work: seconds.get(work, 0.0) for work in TITLES}
    whole = sum(known.values())
    return [Spent(work, took, took / whole) for work, took in known.items() if took > 0]


def spent_summary(spent: list[Spent]) -> str:
    """ "2 min 5 s in all: 71% training steps, 14% held-out evaluations, ...", the largest first."""
    largest = sorted(spent, key=lambda one: -one.share)
    parts = ", ".join(f"{one.share:.0%} {one.title[:1].lower()}{one.title[1:]}" for one in largest)
    return f"{seconds_label(sum(one.seconds for one in spent))} in all: {parts}"


def seconds_label(seconds: float) -> str:
    """ "0.4 s", "12 s", "2 min 35 s", "1 h 12 min" """
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
