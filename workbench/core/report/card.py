"""The whole report: everybody's numbers, every comparison with its verdict, the frontier, and how a model card tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from workbench.core.report.comparison import Comparison, compare
from workbench.core.report.estimates import Estimate
from workbench.core.report.findings import Blindness, blindness
from workbench.core.report.material import Material
from workbench.core.report.measures import KL, MEASURES
from workbench.core.report.verdict import Finished, judge_words, verdict
from workbench.core.statistics import wilson


@dataclass(frozen=True)
class Side:
    """One who answered: its numbers by the ids of measures, and what its training took. accuracy, margin: on held-out rows.

    reward_per_kl: reward gained against the base, for each nat per token; None where there is no reward or no distance.
    """

    label: str
    method: str
    data: tuple[str, ...]
    answered: int
    estimates: dict[str, Estimate]
    accuracy: Estimate | None
    margin: float | None
    reward_per_kl: float | None
    seconds: float | None
    memory: int | None


@dataclass(frozen=True)
class Point:
    """One of the frontier: reward over KL (Gao et al. 2023)."""

    label: str
    kl: Estimate
    reward: Estimate
    is_base: bool


@dataclass(frozen=True)
class Judgement:
    """A comparison and what it comes to. first, second: labels."""

    first: str
    second: str
    comparison: Comparison
    verdict: Finished


@dataclass(frozen=True)
class Card:
    """A report. judgements: each run against the base model, then the runs against each other. judge: how it agrees with votes."""

    title: str
    sides: tuple[Side, ...]
    judgements: tuple[Judgement, ...]
    frontier: tuple[Point, ...]
    blindness: Blindness | None
    judge: str
    notes: tuple[str, ...]


def card_of(material: Material) -> Card:
    """Everything that follows from what was measured."""
    places = range(len(material.subjects))
    sides = [_side(material, place) for place in places]
    judgements = []
    for first, second in combinations(places, 2):
        found = compare(material, first, second)
        judgements.append(Judgement(sides[first].label, sides[second].label, found, verdict(material, found)))
    return Card(
        title=f"{', '.join(side.label for side in sides[1:]) or 'Nobody'} against {sides[0].label}",
        sides=tuple(sides),
        judgements=tuple(judgements),
        frontier=tuple(_frontier(material, sides)),
        blindness=blindness(material),
        judge=judge_words(material.judge) if material.judge else "",
        notes=tuple(_notes(material)),
    )


def _side(material: Material, place: int) -> Side:
    subject = material.subjects[place]
    found = {one.id: estimate for one in (*MEASURES, KL) if (estimate := one.estimate(material, subject))}
    accuracy, rows = subject.results.get("accuracy"), subject.held_out
    measured = None
    if accuracy is not None and 0 <= accuracy <= 1:
        measured = Estimate(accuracy, *(wilson(accuracy, rows) if rows else (accuracy, accuracy)), rows)
    return Side(
        label=material.label(place), method=subject.method, data=tuple(subject.data),
        answered=sum(one is not None for one in subject.said), estimates=found, accuracy=measured,
        margin=subject.results.get("margin"), reward_per_kl=_per_kl(material, place, found),
        seconds=subject.seconds, memory=subject.memory,
    )  # fmt: skip


def _per_kl(material: Material, place: int, found: dict[str, Estimate]) -> float | None:
    kl = found.get("kl")
    rises = [
        other.reward - one.reward
        for one, other in zip(material.subjects[0].said, material.subjects[place].said, strict=True)
        if one and other and one.reward is not None and other.reward is not None
    ]
    return fmean(rises) / kl.value if rises and place and kl and kl.value > 0 else None


def _frontier(material: Material, sides: Sequence[Side]) -> list[Point]:
    """Whoever has a reward and a distance from the base model, which itself has none."""
    none = Estimate(0.0, 0.0, 0.0, 0)
    found = []
    for subject, side in zip(material.subjects, sides, strict=True):
        kl = none if subject.answerer.is_base else side.estimates.get("kl")
        if kl and (reward := side.estimates.get("reward")):
            found.append(Point(side.label, kl, reward, subject.answerer.is_base))
    return found if len(found) > 1 else []


def _notes(material: Material) -> list[str]:
    """What one must know to read it at all."""
    notes = list(material.missing)
    if material.stopped:
        notes.insert(0, "It was stopped before everything was measured: what is missing is not in it.")
    if not any(side.said and any(side.said) for side in material.subjects):
        notes.insert(
            0,
            "Nothing but the training distribution was measured: there are no answers, only the run's own held-out numbers.",
        )
    return notes


def summary_lines(card: Card, place: int) -> list[str]:
    """What the model card of a subject says of it: its verdict against the base model, and the findings."""
    lines = []
    for one in card.judgements:
        if one.comparison.first == 0 and one.comparison.second == place:
            lines.append(f"Against {one.first}: {one.verdict.headline}")
            lines += [f"{finding.title}. {finding.evidence}" for finding in one.verdict.findings]
            lines += [f"Not said: {words}" for words in one.verdict.cannot]
    return lines
