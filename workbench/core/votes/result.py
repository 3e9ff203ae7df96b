"""What the votes of measuring sittings say: win rate, the same at equal length, and the order of several answerers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.core.chat import Answerer
from workbench.core.statistics import win_interval
from workbench.core.votes.fit import Fit, logistic_fit
from workbench.core.votes.vote import Vote

Verdict = Literal["better", "worse", "not settled"]

# The rule by which runs of several seeds are compared too: a difference that matters, and that is no chance.
CLEARLY = 0.55
# A fit of two unknowns to fewer votes says more of the ridge than of the answerers.
LEAST_FOR_A_FIT = 20
MOST_MORE = 2000
"""Votes that nobody will give: what needs more of them is not promised."""


@dataclass(frozen=True)
class Rate:
    """A win rate from 0 to 1, ties counted half, with its interval, which holds though one looks after each vote."""

    rate: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        if self.rate > CLEARLY and self.low > 0.5:
            return "better"
        return "worse" if self.rate < 1 - CLEARLY and self.high < 0.5 else "not settled"


@dataclass(frozen=True)
class Result:
    """How the first of two answerers did against the second. both_bad: of the ties.

    raw: by the votes as they are. at_equal_length: as if all answers were as long as each other; None for too few votes.
    longer: how many times as long the first one's answers are, in the middle. more: votes that would about settle it at the
    present rate; None where it is settled, or where none would.
    """

    wins: int
    ties: int
    losses: int
    both_bad: int
    raw: Rate
    at_equal_length: Rate | None
    longer: float
    more: int | None


@dataclass(frozen=True)
class Standing:
    """One of several answerers: its chance to win against the reference, whose own is a half."""

    answerer: Answerer
    votes: int
    raw: Rate
    at_equal_length: Rate


def measured(votes: Sequence[Vote]) -> list[Vote]:
    """The votes that may be counted into a win rate: those of measuring sittings."""
    return [vote for vote in votes if vote.purpose == "measure"]


def result(votes: Sequence[Vote], first: Answerer, second: Answerer) -> Result:
    """Only votes of measuring sittings on these two count."""
    wins = ties = losses = both_bad = 0
    ratios, scores = [], []
    for vote in measured(votes):
        by = vote.answerer("left"), vote.answerer("right")
        if first == second or by not in ((first, second), (second, first)):
            continue
        score = vote.score if by == (first, second) else 1 - vote.score
        ratio = _log_ratio(vote)
        scores.append(score)
        ratios.append(ratio if by == (first, second) else -ratio)
        wins, losses, ties = wins + (score == 1), losses + (score == 0), ties + (score == 0.5)
        both_bad += vote.vote == "both_bad"
    raw = win_rate(wins, ties, losses)
    at_equal = at_equal_length(scores, ratios) if len(scores) >= LEAST_FOR_A_FIT else None
    middle = sorted(ratios)[len(ratios) // 2] if ratios else 0.0
    more = votes_to_settle(wins, ties, losses)
    return Result(wins, ties, losses, both_bad, raw, at_equal, math.exp(middle), more)


def win_rate(wins: int, ties: int, losses: int) -> Rate:
    """Ties count half, as in Bradley-Terry, so that every rate on the page is of the same thing; the interval stays valid, see
    `log_evidence`. Without them two answerers who mostly tie would be told apart by the few votes that are left."""
    total = wins + ties + losses
    return Rate((wins + ties / 2) / total if total else 0.5, *win_interval(wins + ties / 2, losses + ties / 2))


def votes_to_settle(wins: int, ties: int, losses: int) -> int | None:
    """About how many more votes would settle it, if they fall as these did; None where it is settled, where there is no
    vote, and where the rate is too near to a half for any number to settle it."""
    total = wins + ties + losses
    now = win_rate(wins, ties, losses)
    if not total or now.verdict != "not settled" or 1 - CLEARLY <= now.rate <= CLEARLY:
        return None

    def settled(more: int) -> bool:
        won = now.rate * (total + more)
        return Rate(now.rate, *win_interval(won, total + more - won)).verdict != "not settled"

    if not settled(MOST_MORE):
        return None
    low, high = 0, MOST_MORE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high


def at_equal_length(scores: Sequence[float], log_ratios: Sequence[float]) -> Rate:
    """The win rate as it would be if both answers were as long. log_ratios: ln(words of the first / words of the second)."""
    fit = logistic_fit([[1.0, ratio] for ratio in log_ratios], scores)
    return _rate(fit, [1.0, 0.0])


def standings(votes: Sequence[Vote], reference: Answerer) -> list[Standing]:
    """Bradley-Terry of every answerer that votes connect with the reference, the strongest first."""
    known = [vote for vote in measured(votes) if vote.answerer("left") != vote.answerer("right")]
    connected = {reference}
    for _ in known:  # each round reaches at least one further answerer, or is the last
        reached = {by for vote in known for by in _both(vote) if connected & set(_both(vote))} | connected
        if reached == connected:
            break
        connected = reached
    known = [vote for vote in known if connected & set(_both(vote))]
    others = sorted(connected - {reference}, key=lambda one: one.label)
    if not others:
        return []
    lines, scores = [], []
    for vote in known:
        left, right = _both(vote)
        lines.append([*(float(one == left) - float(one == right) for one in others), _log_ratio(vote)])
        scores.append(vote.score)
    plain = logistic_fit([line[:-1] for line in lines], scores)
    with_length = logistic_fit(lines, scores)
    found = []
    for place, one in enumerate(others):
        unit = [float(place == at) for at in range(len(others))]
        count = sum(one in _both(vote) for vote in known)
        found.append(Standing(one, count, _rate(plain, unit), _rate(with_length, [*unit, 0.0])))
    count = sum(reference in _both(vote) for vote in known)
    even = Rate(0.5, 0.5, 0.5)
    return sorted([*found, Standing(reference, count, even, even)], key=lambda one: -one.raw.rate)


def summary(found: Result) -> str:
    """The result in a sentence or two."""
    if not found.wins + found.ties + found.losses:
        return "No votes of a measuring sitting yet."
    said = f"{found.wins} wins, {found.ties} ties, {found.losses} losses: {_words(found.raw)}."
    if found.at_equal_length:
        said += f" At equal length {_words(found.at_equal_length)}."
    if found.more:
        said += f" About {found.more} more {'vote' if found.more == 1 else 'votes'} like these would settle it."
    return said


def _words(rate: Rate) -> str:
    return f"{rate.rate:.0%}, interval {rate.low:.0%} to {rate.high:.0%}, {rate.verdict}"


def _rate(fit: Fit, features: Sequence[float]) -> Rate:
    return Rate(fit.at(features), *fit.interval(features))


def _both(vote: Vote) -> tuple[Answerer, Answerer]:
    return vote.answerer("left"), vote.answerer("right")


def _log_ratio(vote: Vote) -> float:
    """Logarithm of how many times as long the left answer is. One word more for each, so that an empty one has a length."""
    return math.log((vote.words("left") + 1) / (vote.words("right") + 1))
