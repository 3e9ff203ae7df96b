"""Several answers to one prompt, scored by a reward model: which is the best, and which two make a pair."""

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_GAP = 0.5
"""Standard deviations of the reward between two answers from which on one of them is clearly the better one."""


@dataclass(frozen=True)
class Candidate:
    """One of the answers to a prompt. reward: standardised. ended: it came to its end by itself."""

    text: str
    reward: float
    ended: bool = True


def best(candidates: Sequence[Candidate]) -> Candidate | None:
    """The answer with the highest reward, the first of equals; None where there is no answer at all.

    One that was cut off is only taken where all were: a reward model may like what it read, and nobody can use it.
    """
    said = [one for one in candidates if one.text.strip()]
    return max([one for one in said if one.ended] or said, key=lambda one: one.reward, default=None)


def best_and_worst(candidates: Sequence[Candidate], least: float = LEAST_GAP) -> tuple[Candidate, Candidate] | None:
    """A chosen and a rejected answer, whose rewards differ by at least so many standard deviations; None where none do.

    An answer that was cut off is never the chosen one: it would teach the model not to come to an end.
    """
    said = [one for one in candidates if one.text.strip()]
    chosen = max((one for one in said if one.ended), key=lambda one: one.reward, default=None)
    if chosen is None:
        return None
    others = [one for one in said if one.text.strip() != chosen.text.strip()]
    rejected = min(others, key=lambda one: one.reward, default=None)
    return (chosen, rejected) if rejected and chosen.reward - rejected.reward >= max(least, 1e-9) else None
