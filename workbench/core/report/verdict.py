"""A comparison in words: which is better and at what, the reasons, and what these numbers cannot say."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from workbench.core.report.comparison import LEAST_VOTES, Comparison, Source, Win
from workbench.core.report.findings import Finding, blindness, findings
from workbench.core.report.material import Judge, Material
from workbench.core.statistics import wilson
from workbench.core.votes.result import Rate

Outcome = Literal["better", "worse", "different", "no difference", "not measured"]

SAFE = "Whether its answers are true, safe or good elsewhere: nothing here measures that."
ONE_RUN = "Whether another training with the same settings and another seed would come out the same."


@dataclass(frozen=True)
class Finished:
    """A verdict. by: what decided it, if anything did. headline: in a sentence. reasons: what it rests on. cannot: what it does
    not say."""

    outcome: Outcome
    by: Source | None
    headline: str
    reasons: tuple[str, ...]
    cannot: tuple[str, ...]
    findings: tuple[Finding, ...]


def verdict(material: Material, found: Comparison) -> Finished:
    """What a comparison comes to.

    A person's own votes decide. Without them a judge does, as far as it is known to agree with that person, then the reward;
    neither is called better by itself.
    """
    best = _deciding(material, found)
    changed = [
        one for one in found.changes if one.direction in ("up", "down") and not (best and one.measure == "reward")
    ]
    same = [one for one in found.changes if one.direction == "unchanged"]
    told = [one.words for one in changed] + [one.words for one in same if one.measure in ("facts", "manner", "length")]
    outcome: Outcome
    if best:
        outcome = "better" if best.verdict == "better" else "worse"
        headline = "; ".join([_said(material, best), *told])
    elif changed:
        outcome = "different"
        begins = "No preference is settled" if found.wins else "No preference was measured"
        headline = "; ".join([f"{begins}, but they differ", *told])
    elif found.wins or found.changes:
        outcome = "no difference"
        headline = f"No difference found: {_excluded(found)}"
    else:
        outcome, headline = "not measured", "Not measured: there are too few answers of both to compare"
    return Finished(outcome, best.source if best else None, f"{headline}.", tuple(_reasons(material, found)), tuple(_cannot(material, found)), tuple(findings(material, found))
    )  # fmt: skip


def _deciding(material: Material, found: Comparison) -> Win | None:
    """The preference that is settled, and that weighs most."""
    judged = found.win("judge") if material.judge and agrees(material.judge) else None
    for one in (found.win("votes"), judged, found.win("reward")):
        if one and one.verdict != "not settled":
            return one
    return None


def agrees(judge: Judge) -> bool:
    """Whether a judge agrees with a person's votes more often than chance would."""
    return judge.decided > 0 and wilson(judge.agreed / judge.decided, judge.decided)[0] > 0.5


def judge_words(judge: Judge) -> str:
    """How a judge agrees with one's own votes, which is said before anything that it judged."""
    if not judge.voted:
        return f"{judge.title} was not held against votes of yours, because there are none: nobody knows whether it judges as you do."
    if not judge.decided:
        return f"Of {judge.voted} pairs that you voted on, {judge.title} decided none alike in both orders: it cannot judge here."
    low, high = wilson(judge.agreed / judge.decided, judge.decided)
    said = (
        f"Of {judge.voted} pairs that you voted on, {judge.title} decided {judge.decided} alike in both orders, and "
        f"{judge.agreed / judge.decided:.0%} [{low:.0%}, {high:.0%}] of these as you did."
    )
    return said if agrees(judge) else f"{said} That may be chance, so its verdicts do not count here."


def rate_text(rate: Rate) -> str:
    return f"{rate.rate:.0%} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _said(material: Material, win: Win) -> str:
    better = win.verdict == "better"
    begins = {
        "votes": f"{'Better' if better else 'Worse'} at what you asked",
        "judge": f"{'Preferred' if better else 'Not preferred'} by the judge {material.judge.title if material.judge else ''}",
        "reward": f"Scores {'higher' if better else 'lower'} with the reward model {material.reward.name if material.reward else ''}",
    }[win.source]
    return f"{begins}: {rate_text(win.raw)} of {win.count} {win.of}"


def _excluded(found: Comparison) -> str:
    """How large a difference may still be, by the interval of the widest preference or by what was compared."""
    wins = [one for one in found.wins if one.source != "votes" or one.count >= LEAST_VOTES]
    if wins:
        return "; ".join(f"{rate_text(one.raw)} of {one.count} {one.of}" for one in wins[:2])
    known = [one.words for one in found.changes if one.words]
    return "; ".join(known) or "the intervals are too wide to say more"


def _reasons(material: Material, found: Comparison) -> Iterator[str]:
    for win in found.wins:
        settled = "" if win.verdict != "not settled" else ", which settles nothing"
        if win.source == "votes" and win.count < LEAST_VOTES:
            settled = f", and fewer than {LEAST_VOTES} are not counted as a verdict"
        of = {"votes": "By your votes", "reward": "By the reward model", "judge": "By the judge"}[win.source]
        yield f"{of}: preferred in {rate_text(win.raw)} of {win.count} {win.of}{settled}."
        if win.at_equal_length:
            yield f"{of}, at equal length: {rate_text(win.at_equal_length)}."
    for one in found.changes:
        known = {"unchanged": ", unchanged", "not known": ", which settles nothing"}.get(one.direction, "")
        yield f"{one.title}: {one.text}{known}."
    if found.compared > 1:
        yield f"{found.compared} things were compared, and a difference is only said where chance would hardly make one in any of them."


def _cannot(material: Material, found: Comparison) -> Iterator[str]:
    one, other = material.subjects[found.first], material.subjects[found.second]
    votes = found.win("votes")
    if votes is None or votes.count < LEAST_VOTES:
        yield f"Which one you would prefer: there are {votes.count if votes else 0} blind votes on these two, and it takes {LEAST_VOTES}."
    if material.data and material.data in material.learned_from:
        rest = (
            "Of anything else only a neutral text was read"
            if other.neutral
            else "Nothing but the training distribution was measured"
        )
        yield f"How it answers other questions: all prompts are held-out ones of {material.data}, which was learned from. {rest}."
    elsewhere = sorted({*one.data[:1], *other.data[:1]} - {material.data}) if material.data else []
    if elsewhere:
        yield f"Whether both had the same chances: {' and '.join(elsewhere)} was learned from too, and may hold some of these prompts."
    if material.reward:
        shared = set(material.reward.data) & {*one.data, *other.data}
        mistakes = (
            f" It learned from {' and '.join(sorted(shared))} too, so that it shares its mistakes." if shared else ""
        )
        pleased = " and ".join(
            material.label(place)
            for place in (found.first, found.second)
            if material.subjects[place].rewarded_by == material.reward.name
        )
        if pleased:
            mistakes += f" {pleased} was trained to please it, so that its reward rises in any case."
        yield f"Whether a higher reward is better: {material.reward.name} gives what it was taught to like.{mistakes}"
        blind = blindness(material)
        if blind and blind.is_blind:
            yield f"Whether facts are right, by reward. {blind.words}"
    if material.judge and not agrees(material.judge):
        yield "Which one a judge prefers: it is not known to agree with you."
    if not one.answerer.is_base or not other.answerer.is_base:
        yield ONE_RUN
    yield SAFE
