"""What a reward says of real answers: of several answers to one prompt, what each is worth, and whether there is anything to learn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LEAST_SPREAD = 1e-4
"""Rewards that differ by less are the same: standardised ones have a spread of about 1."""


@dataclass(frozen=True)
class Judged:
    """An answer, and what each part of the reward says of it, before its weight. cut: it was longer than answers may be."""

    text: str
    cut: bool
    parts: Mapping[str, float]


@dataclass(frozen=True)
class Group:
    """Answers to one prompt, of which this is the last turn. weights: of the parts of the reward, by their names."""

    prompt: str
    answers: list[Judged]
    weights: Mapping[str, float] = field(default_factory=dict)

    def reward(self, answer: Judged) -> float:
        return sum(self.weights[name] * value for name, value in answer.parts.items())

    @property
    def ranked(self) -> list[tuple[float, Judged]]:
        """The answers with their rewards, the best first."""
        return sorted(((self.reward(one), one) for one in self.answers), key=lambda one: one[0], reverse=True)

    @property
    def teaches(self) -> bool:
        """Whether its rewards differ: an answer is only compared with the others of its group."""
        rewards = [reward for reward, _ in self.ranked]
        return max(rewards) - min(rewards) >= LEAST_SPREAD


def verdict(groups: Sequence[Group]) -> tuple[bool, str]:
    """Whether something can be learned from these answers, and a sentence on it."""
    silent = sum(not one.teaches for one in groups)
    if silent == len(groups):
        return False, (
            "The answers to a prompt all get the same reward, so nothing could be learned from them: it learns from differences within "
            "a group. Choose another reward, soften the rule, or raise the sampling temperature."
        )
    if silent:
        return True, (
            f"In {silent} of {len(groups)} groups all answers get the same reward, and nothing could be learned there. That happens; "
            "where it is most groups, training stands still."
        )
    return (
        True,
        "The rewards differ within each group, so there is something to learn. Read whether they rank the answers as you would.",
    )
