"""The table of measures: what is measured of everybody who answered, and when a difference of it is worth a word."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.core.data.thoughts import without_thoughts
from workbench.core.demo import fact_is_right, manner
from workbench.core.report.estimates import (
    Difference,
    Estimate,
    Part,
    ratio,
    ratio_difference,
    share,
    share_difference,
)
from workbench.core.report.material import Material, Said, Subject
from workbench.core.statistics import ALPHA

Direction = Literal["up", "down", "unchanged", "not known"]

# Neighbouring tokens of a text are not independent of each other; so many of them are one draw.
_TOKENS_TOGETHER = 16


@dataclass(frozen=True)
class Measure:
    """One thing that is measured.

    parts: of a subject, what each prompt (or piece of a text) adds, in an order that all subjects share; None where it was
    not measured there. kind: a mean; a share of prompts; or a quantity of which ratios are compared, such as lengths.
    matters: the least difference that is worth a word, and within which a difference is called none. up, down: what is
    said of a difference, with its size in it. noun: what is unchanged. format: of a value. shown: what a value is shown by. reading: what it means.
    """

    id: str
    title: str
    kind: Literal["mean", "share", "relative"]
    parts: Callable[[Material, Subject], Sequence[Part | None]]
    matters: float
    noun: str
    up: str
    down: str
    reading: str
    format: str = ".2f"
    shown: Callable[[float], float] = float

    def estimate(self, material: Material, subject: Subject) -> Estimate | None:
        """None where too little of it was measured."""
        parts = _known(self.parts(material, subject))
        if self.kind == "share":
            return share(sum(above for above, _ in parts), len(parts))
        return ratio(parts, self.shown)

    def difference(
        self, material: Material, first: Subject, second: Subject, alpha: float = ALPHA
    ) -> Difference | None:
        """Of the second against the first, on what both answered; relative ones as a share of the first's value."""
        both = self.both(material, first, second)
        if self.kind == "share":
            return share_difference([(bool(one[0]), bool(other[0])) for one, other in both], alpha)
        if self.kind == "mean" or self.shown is not float:
            rises = [(other[0] - one[0], one[1]) for one, other in both]
            return ratio_difference(rises, alpha, _as_growth if self.kind == "relative" else float)
        return ratio_difference([(other[0], one[0]) for one, other in both], alpha, lambda times: times - 1)

    def both(self, material: Material, first: Subject, second: Subject) -> list[tuple[Part, Part]]:
        """What was measured of both."""
        pairs = zip(self.parts(material, first), self.parts(material, second), strict=False)
        return [(one, other) for one, other in pairs if one and other]

    def direction(self, found: Difference) -> Direction:
        """What a difference says. Where it may be none and may be one that matters, nothing is known."""
        if found.is_real and abs(found.estimate.value) >= self.matters:
            return "up" if found.estimate.value > 0 else "down"
        within = -self.matters <= found.estimate.low and found.estimate.high <= self.matters
        return "unchanged" if within or found.is_real else "not known"

    def text(self, one: Estimate) -> str:
        """A value with its interval: "91% [84, 95]"."""
        low, high = (format(end, self.format).rstrip("%") for end in (one.low, one.high))
        return f"{format(one.value, self.format)} [{low}, {high}]".replace("-", "−")

    def change_text(self, one: Estimate) -> str:
        """A difference with its interval: "+3 points [−5, +10]"."""
        low, high = (self.size_text(end, "+").removesuffix("%").split()[0] for end in (one.low, one.high))
        return f"{self.size_text(one.value, '+')} [{low}, {high}]"

    def size_text(self, value: float, sign: str = "") -> str:
        """A difference as it is shown: per cent of a relative measure, points of a share. sign: "+" to have it shown."""
        is_points = self.kind != "relative" and self.format.endswith("%")
        percent = is_points or self.kind == "relative"
        number = f"{100 * value:{sign}.0f}" if percent else f"{value:{sign}.2f}"
        number = "0" if not float(number) else number.replace("-", "−")
        if not is_points:
            return f"{number}%" if percent else number
        return f"{number} point{'' if number.lstrip('+−') == '1' else 's'}"

    def words(self, found: Difference) -> str:
        """What a difference says, as part of a sentence; "" where nothing is known."""
        direction = self.direction(found)
        if direction == "unchanged":
            return f"{self.noun} unchanged"
        if direction == "not known":
            return ""
        return (self.up if direction == "up" else self.down).format(self.size_text(abs(found.estimate.value)))


def _as_growth(nats: float) -> float:
    """A difference of logarithms as growth: ln 2 -> 1, which is 100 % more."""
    return math.expm1(min(nats, 50.0))


def _exp(nats: float) -> float:
    return math.exp(min(nats, 50.0))


def _known(parts: Sequence[Part | None]) -> list[Part]:
    return [one for one in parts if one is not None]


def _of_answers(value: Callable[[Said], float | None]) -> Callable[[Material, Subject], list[Part | None]]:
    """A number of each answer that is there."""

    def parts(material: Material, subject: Subject) -> list[Part | None]:
        numbers = (None if one is None else value(one) for one in subject.said)
        return [None if number is None else (number, 1.0) for number in numbers]

    return parts


def _manner(material: Material, subject: Subject) -> list[Part | None]:
    if not material.is_demo:
        return []
    return _of_answers(lambda one: float(manner(without_thoughts(one.text)) == "preferred"))(material, subject)


def _facts(material: Material, subject: Subject) -> list[Part | None]:
    return [
        None if one is None or fact is None else (float(fact_is_right(without_thoughts(one.text), fact)), 1.0)
        for one, fact in zip(subject.said, material.facts, strict=False)
    ]


def _kl(material: Material, subject: Subject) -> list[Part | None]:
    """For each of its own answers the sum over its tokens of r - 1 - ln r with r = pi_base / pi, and their number.

    Its mean over answers of pi is KL(pi || pi_base), as that of ln pi - ln pi_base is; it varies less and is never negative
    (Schulman 2020, "Approximating KL divergence", k3).
    """
    return [
        (sum(math.expm1(min(-ratio, 50.0)) + ratio for ratio in answer), float(len(answer))) if answer else None
        for answer in subject.log_ratios
    ]


def _neutral(material: Material, subject: Subject) -> list[Part | None]:
    values = subject.neutral
    pieces = [values[at : at + _TOKENS_TOGETHER] for at in range(0, len(values), _TOKENS_TOGETHER)]
    return [(-sum(piece), float(len(piece))) for piece in pieces]


MEASURES = (
    Measure(
        "reward", "Reward", "mean", _of_answers(lambda one: one.reward), 0.1, "reward", "reward rises by {}", "reward falls by {}",
        "Mean score that the reward model gives its answers, in standard deviations of its scores on held-out answers.",
    ),
    Measure(
        "manner", "Kind manner", "share", _manner, 0.03, "manner", "kind manner rises by {}", "kind manner falls by {}",
        "Share of answers in the manner that the demo's data prefers.", ".0%",
    ),
    Measure(
        "facts", "Right facts", "share", _facts, 0.03, "facts", "facts rise by {}", "facts fall by {}",
        "Share of answers that hold the right fact, which the demo's preferences leave alone.", ".0%",
    ),
    Measure(
        "length", "Length in tokens", "relative", _of_answers(lambda one: float(one.tokens)), 0.05,
        "length", "answers {} longer", "answers {} shorter", "Mean tokens of an answer.", ".1f",
    ),
    Measure(
        "repetition", "Repetition", "mean", _of_answers(lambda one: one.repetition), 0.02,
        "repetition", "repetition rises by {}", "repetition falls by {}",
        "Share of an answer's runs of four tokens that stood in it before.", ".1%",
    ),
    Measure(
        "cut_off", "Never ends", "share", _of_answers(lambda one: float(one.is_cut)), 0.03,
        "share that never ends", "share that never ends rises by {}", "share that never ends falls by {}",
        "Share of answers that were cut off before they came to an end.", ".0%",
    ),
    Measure(
        "neutral", "Perplexity of a neutral text", "relative", _neutral, 0.05, "perplexity of a neutral text",
        "perplexity of a neutral text {} higher", "perplexity of a neutral text {} lower",
        "How surprised it is by an encyclopaedic text that has nothing to do with the data: what training cost elsewhere.",
        ".1f", _exp,
    ),
)  # fmt: skip
"""What is compared, in the order of the page. A new measure is an entry here, and what it needs in `Material`."""

KL = Measure(
    "kl", "KL from the base", "mean", _kl, 0.0, "", "", "",
    "How far it went from the base model, in nats per token of its own answers, drawn at temperature 1.", ".4f",
)  # fmt: skip
"""Only ever shown: every run that learned anything has one."""
