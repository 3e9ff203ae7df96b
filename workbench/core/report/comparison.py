"""What one did against another: win rates, and the differences of everything that is measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.core.report.estimates import LEAST, Difference, width
from workbench.core.report.material import Judge, Material, Subject
from workbench.core.report.measures import MEASURES, Direction, Measure
from workbench.core.statistics import wilson
from workbench.core.votes.result import LEAST_FOR_A_FIT, Rate, Verdict, at_equal_length
from workbench.core.votes.vote import word_count

Source = Literal["votes", "reward", "judge"]
LEAST_VOTES = 20
# Of a standard deviation: what answers in another batch may differ by in the last digits.
_SAME_REWARD = 0.01
_BY_LENGTH = 0.1
TOGETHER = 0.02
"""Chance that of all that is compared in two that are the same anything is said to differ."""


@dataclass(frozen=True)
class Win:
    """How often the second answer was preferred. raw: ties half. verdict: that of `raw`, which allows for all that is compared.

    at_equal_length: as if both answers were as long; None for too few. of: what `count` counts, in words.
    """

    source: Source
    raw: Rate
    at_equal_length: Rate | None
    count: int
    of: str
    verdict: Verdict

    @property
    def is_by_length(self) -> bool:
        """Whether a good part of what it wins may be the length of its answers, and nothing is settled without it."""
        equal = self.at_equal_length
        return (
            self.verdict == "better"
            and equal is not None
            and equal.low <= 0.5
            and self.raw.rate - equal.rate >= _BY_LENGTH
        )


@dataclass(frozen=True)
class Change:
    """A measure of the second one against the first one. words: "answers 8% longer"; "" where nothing is known.

    text: the difference with its interval."""

    measure: str
    title: str
    found: Difference
    direction: Direction
    words: str
    text: str


@dataclass(frozen=True)
class Comparison:
    """first, second: places of the subjects. compared: everything that a difference was looked for in."""

    first: int
    second: int
    wins: tuple[Win, ...]
    changes: tuple[Change, ...]
    compared: int

    def win(self, source: Source) -> Win | None:
        return next((one for one in self.wins if one.source == source), None)

    def change(self, measure: str) -> Change | None:
        return next((one for one in self.changes if one.measure == measure), None)


def compare(material: Material, first: int, second: int) -> Comparison:
    """The second one against the first one. Everything that is compared shares one chance to mislead (Bonferroni)."""
    one, other = material.subjects[first], material.subjects[second]
    counted = [measure for measure in MEASURES if len(measure.both(material, one, other)) >= LEAST]
    pairs = _rewards(one, other), _judged(material.judge, first, second)
    compared = len(counted) + sum(len(pair) >= LEAST for pair in pairs)
    alpha = TOGETHER / max(compared, 1)
    wins = [
        _votes(material, first, second),
        _win("reward", pairs[0], one, other, "prompts", alpha),
        _win("judge", pairs[1], one, other, "prompts on which both orders agree", alpha),
    ]
    changes = [
        _change(measure, found) for measure in counted if (found := measure.difference(material, one, other, alpha))
    ]
    return Comparison(first, second, tuple(win for win in wins if win), tuple(changes), compared)


def _votes(material: Material, first: int, second: int) -> Win | None:
    """The votes of measuring sittings, whose interval holds at each look; so their verdict needs no correction."""
    for one in material.votes:
        if (one.first, one.second) == (first, second):
            count = one.result.wins + one.result.ties + one.result.losses
            verdict = one.result.raw.verdict if count >= LEAST_VOTES else "not settled"
            return (
                Win("votes", one.result.raw, one.result.at_equal_length, count, "blind votes", verdict)
                if count
                else None
            )
    return None


def _rewards(one: Subject, other: Subject) -> list[tuple[int, float]]:
    """Prompt, and 1 where the second answer has the higher reward, a half where they are about equal."""
    found = []
    for place, (first, second) in enumerate(zip(one.said, other.said, strict=True)):
        if first and second and first.reward is not None and second.reward is not None:
            rise = second.reward - first.reward
            found.append((place, 0.5 if abs(rise) < _SAME_REWARD else float(rise > 0)))
    return found


def _judged(judge: Judge | None, first: int, second: int) -> list[tuple[int, float]]:
    for pair in judge.pairs if judge else ():
        if (pair.first, pair.second) == (first, second):
            return [(place, score) for place, score in enumerate(pair.scores) if score is not None]
    return []


def _win(
    source: Source, scores: Sequence[tuple[int, float]], one: Subject, other: Subject, of: str, alpha: float
) -> Win | None:
    """A win rate that is looked at once. alpha: of the verdict, which is stricter than the interval that is shown."""
    if len(scores) < LEAST:
        return None
    total, values = len(scores), [score for _, score in scores]
    rate = sum(values) / total
    ratios = [_log_ratio(other, one, place) for place, _ in scores]
    # Without a difference in length there is nothing to take out, and the fit would only be pulled to a half.
    equal = at_equal_length(values, ratios) if total >= LEAST_FOR_A_FIT and any(ratios) else None
    verdict = Rate(rate, *wilson(rate, total, width(alpha))).verdict
    return Win(source, Rate(rate, *wilson(rate, total)), equal, total, of, verdict)


def _log_ratio(one: Subject, other: Subject, place: int) -> float:
    """Logarithm of how many times as many words the first answer has. One word more for each: an empty one has a length."""
    words = [word_count(said.text) + 1 if (said := subject.said[place]) else 1 for subject in (one, other)]
    return math.log(words[0] / words[1])


def _change(measure: Measure, found: Difference) -> Change:
    text = measure.change_text(found.estimate)
    return Change(measure.id, measure.title, found, measure.direction(found), measure.words(found), text)
