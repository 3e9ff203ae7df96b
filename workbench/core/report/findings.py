"""What is suspicious in a comparison, above all a reward that rises while what it stands for does not."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from workbench.core.report.comparison import Comparison
from workbench.core.report.estimates import LEAST, Estimate
from workbench.core.report.material import Material
from workbench.core.report.measures import MEASURES
from workbench.core.severity import Severity

# Votes that should have shown a preference if there is one (core/votes/expectation.py: 79 show one of 70 %).
_ENOUGH_VOTES = 50
# Of a standard deviation of rewards: what a right fact should be worth to a reward that knows facts.
_SEES = 0.25
_FORGETS = 0.2
_LESS = "Take an earlier checkpoint or a lower strength, a higher beta or KL weight, or a lower learning rate."


@dataclass(frozen=True)
class Finding:
    """id: of the rule. evidence: the numbers. advice: what to do about it."""

    id: str
    severity: Severity
    title: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Blindness:
    """The mean reward of answers with a right and with a wrong fact, and the interval of their difference.

    Each answer counts by how far it is from the mean of whoever gave it: else a run that is better in everything would make
    a reward see what it does not."""

    right: float
    wrong: float
    difference: Estimate
    count: int

    @property
    def is_blind(self) -> bool:
        return self.difference.low < _SEES

    @property
    def words(self) -> str:
        right, wrong = (f"{mean:.2f}".replace("-", "−") for mean in (self.right, self.wrong))
        said = f"Answers with right facts get {right}, with wrong ones {wrong} ({self.count} answers)"
        if self.is_blind:
            return f"{said}: this reward hardly sees whether a fact is right. Look at the facts beside it."
        return f"{said}: this reward prefers right facts."


def findings(material: Material, found: Comparison) -> list[Finding]:
    """All that is suspicious in what the second one did against the first one, the worst first."""
    told = [*_over_optimised(material, found), *_broken(found)]
    return sorted(told, key=lambda one: one.severity != "warning")


def _over_optimised(material: Material, found: Comparison) -> Iterator[Finding]:
    """Gao et al. 2023, "Scaling laws for reward model overoptimization": what is optimised rises, what is wanted falls."""
    reward, win, votes = found.change("reward"), found.win("reward"), found.win("votes")
    if reward is None or win is None or reward.direction != "up":
        return
    rises = f"Reward {reward.text}"
    facts = found.change("facts")
    if facts and facts.found.estimate.high < 0 and facts.direction != "unchanged":
        yield Finding(
            "facts fall", "warning", "Reward rises, facts fall", f"{rises}; right facts {facts.text}.",
            f"It learned what the reward counts and lost what it does not see: over-optimised. {_LESS}",
        )  # fmt: skip
    if votes and (votes.verdict == "worse" or (votes.count >= _ENOUGH_VOTES and votes.raw.rate <= 0.5)):
        yield Finding(
            "votes do not follow", "warning", "Reward rises, your votes do not follow",
            f"{rises}; {votes.raw.rate:.0%} [{votes.raw.low:.0%}, {votes.raw.high:.0%}] of {votes.count} blind votes.",
            f"The reward model wants something else than you. Train it on votes of yours. {_LESS}",
        )  # fmt: skip
    if win.is_by_length and win.at_equal_length:
        equal = win.at_equal_length
        yield Finding(
            "by length", "warning", "Reward rises by length",
            f"It wins {win.raw.rate:.0%} by reward, and {equal.rate:.0%} [{equal.low:.0%}, {equal.high:.0%}] at equal length.",
            "Most of what it gained may be longer answers. Look whether the reward model's data prefers long ones.",
        )  # fmt: skip


def _broken(found: Comparison) -> Iterator[Finding]:
    """What no preference makes good."""
    for measure, title, advice in (
        ("repetition", "Answers repeat themselves more", _LESS),
        ("cut_off", "More answers never end", f"Look whether the training answers have their end token. {_LESS}"),
    ):
        change = found.change(measure)
        if change and change.direction == "up":
            yield Finding(measure, "warning", title, f"{change.title} {change.text}.", advice)
    neutral = found.change("neutral")
    if neutral and neutral.direction == "up" and neutral.found.estimate.value >= _FORGETS:
        yield Finding(
            "forgets", "warning", "It forgets what it knew before",
            f"Perplexity of a neutral text {neutral.text}.",
            f"The text has nothing to do with the data, so that is what training cost elsewhere. {_LESS}",
        )  # fmt: skip


def blindness(material: Material) -> Blindness | None:
    """Whether a reward sees facts; None where facts are not known, or nearly all are right or wrong."""
    facts = next(one for one in MEASURES if one.id == "facts")
    known: list[tuple[bool, float]] = []
    means_of: list[float] = []
    for subject in material.subjects:
        pairs = zip(subject.said, facts.parts(material, subject), strict=False)
        own = [(bool(part[0]), said.reward) for said, part in pairs if said and part and said.reward is not None]
        if own:
            mean = fmean(reward for _, reward in own)
            known += [(is_right, reward - mean) for is_right, reward in own]
            means_of.append(mean)
    level = fmean(means_of) if means_of else 0.0
    sides = {side: [level + reward for is_right, reward in known if is_right == side] for side in (True, False)}
    right, wrong = sides[True], sides[False]
    if min(len(right), len(wrong)) < LEAST:
        return None
    means = [sum(side) / len(side) for side in (right, wrong)]
    # Two independent means, large enough samples: the normal interval (Welch).
    error = sum(
        sum((value - mean) ** 2 for value in side) / (len(side) - 1) / len(side)
        for side, mean in zip((right, wrong), means, strict=True)
    )
    half = 1.96 * error**0.5
    gap = means[0] - means[1]
    count = len(right) + len(wrong)
    return Blindness(means[0], means[1], Estimate(gap, gap - half, gap + half, count), count)
