"""A report as HTML: verdicts with their reasons, everybody's numbers, the frontier, and the answers beside each other."""

from collections.abc import Callable, Sequence

from workbench.core.data.thoughts import without_thoughts
from workbench.core.demo import fact_is_right
from workbench.core.monitoring.duration import duration_label
from workbench.core.report.card import Card, Judgement, Side, card_of
from workbench.core.report.estimates import Estimate
from workbench.core.report.material import Material
from workbench.core.report.measures import KL, MEASURES, Measure
from workbench.core.report.verdict import Finished
from workbench.jobs.grid import prompt_label
from workbench.ui.parts import (
    Branch,
    Html,
    Lane,
    NoticeKind,
    answer_table,
    card,
    escape,
    folded,
    join,
    notice,
    outline,
    table,
    text,
)
from workbench.ui.report.figures import Bar, forest, frontier

_SOURCES = {"votes": "your blind votes", "reward": "reward", "judge": "judge"}
_FRONTIER = (
    "Up is more reward, right is further from the base model. Of two at the same height the left one spent less; where more KL "
    "buys no more reward, the reward is being over-optimised (Gao et al. 2023)."
)
SHOWN = 12  # prompts on the page; the file has all


def report_html(material: Material, most_answers: int | None = SHOWN) -> Html:
    """The whole report. most_answers: prompts whose answers are shown; None for all of them."""
    found = card_of(material)
    against_base = [one for one in found.judgements if one.comparison.first == 0]
    others = [one for one in found.judgements if one.comparison.first]
    pieces = [
        *(notice("warning", note) for note in found.notes),
        # Before anything that it judged.
        notice("info", "How the judge agrees with you", found.judge) if found.judge else Html(""),
        *(judgement_html(one) for one in against_base),
        sides_html(found),
        frontier_html(found),
        *(judgement_html(one) for one in others),
        answers_html(material, found, most_answers),
        measured_html(material),
    ]
    return Html(f'<div class="wb-report">{join(*[piece for piece in pieces if piece])}</div>')


def judgement_html(one: Judgement) -> Html:
    """A verdict in words, what is suspicious, how often which was preferred, the reasons and what is not said."""
    bars = [
        Bar(f"By {_SOURCES[win.source]}{words}", rate.rate, rate.low, rate.high)
        for win in one.comparison.wins
        for words, rate in (("", win.raw), (", at equal length", win.at_equal_length))
        if rate
    ]
    changes = [
        (change.title, change.text, "not settled" if change.direction == "not known" else change.direction)
        for change in one.comparison.changes
    ]
    return card(
        f"{one.second} against {one.first}",
        notice(_tone(one.verdict), one.verdict.headline),
        *(
            notice(finding.severity, finding.title, finding.evidence, finding.advice)
            for finding in one.verdict.findings
        ),
        *([Html("<h4>How often it was preferred</h4>"), forest(bars)] if bars else []),
        *([table(("What changed", "By, with the 95% interval", ""), changes)] if changes else []),
        folded("Why it says that", outline([(words, []) for words in one.verdict.reasons])),
        folded("What it cannot say", outline([(words, []) for words in one.verdict.cannot])),
    )


def sides_html(found: Card) -> Html:
    """Everybody's numbers with their intervals, what the training took, and how far a reward can be believed."""
    known = [one for one in (*MEASURES, KL) if any(one.id in side.estimates for side in found.sides)]
    rows: list[list[object]] = [["Method", *(side.method for side in found.sides)]]
    rows += [[one.title, *(_estimate(one, side.estimates.get(one.id)) for side in found.sides)] for one in known]
    for title, value in _OF_TRAINING.items():
        cells = [value(side) for side in found.sides]
        rows += [[title, *cells]] if any(cells) else []
    reading: list[Branch] = [(f"{one.title}: {one.reading}", []) for one in known]
    return card(
        "Side by side",
        table(("", *(side.label for side in found.sides)), rows),
        *([text(found.blindness.words)] if found.blindness else []),
        folded(
            "How to read the rows", outline([*reading, ("In brackets: the 95% interval of the value before them.", [])])
        ),
    )


def frontier_html(found: Card) -> Html:
    if not found.frontier:
        return Html("")
    return card("What the reward cost: reward over KL", frontier(found.frontier), text(_FRONTIER))


def answers_html(material: Material, found: Card, most: int | None) -> Html:
    """The answers beside each other, with reward and length below each."""
    sides: list[tuple[Lane, str]] = [
        ("base" if one.answerer.is_base else "aligned", side.label)
        for one, side in zip(material.subjects, found.sides, strict=True)
    ]
    rows = [
        (_prompt(material, place), [_cell(material, subject, place) for subject in range(len(sides))])
        for place in range(len(material.prompts))
        if any(one.said[place] for one in material.subjects)
    ]
    if not rows:
        return Html("")
    shown = rows[:most]
    words = (
        f"Answers to {len(shown)} of {len(rows)} prompts"
        if len(shown) < len(rows)
        else f"Answers to {len(rows)} prompts"
    )
    return card("Answers", folded(words, answer_table(sides, shown)))


def measured_html(material: Material) -> Html:
    """What was asked of whom, and how."""
    drawn = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in material.sampling.items())
    data = f"held-out ones of {material.data}" if material.data else "not of a dataset"
    reward = ""
    if material.reward:
        accuracy = (
            "" if material.reward.accuracy is None else f", right on {material.reward.accuracy:.0%} of held-out pairs"
        )
        reward = f" Rewards by {material.reward.name}{accuracy}."
    judge = f" Judged by {material.judge.title}." if material.judge else ""
    words = f"{material.time[:16].replace('T', ' ')} UTC · {material.base} · {len(material.prompts)} prompts, {data} · {drawn}.{reward}{judge}"
    return Html(f'<p class="wb-quiet wb-small">{escape(words)}</p>')


def _tone(one: Finished) -> NoticeKind:
    """Good is only what a person's votes, or a judge that agrees with them, call better: a reward may be wrong."""
    if one.outcome == "better":
        return "info" if one.by == "reward" else "good"
    return "warning" if one.outcome == "worse" else "info"


def _estimate(measure: Measure, one: Estimate | None) -> str:
    return measure.text(one) if one else "–"


def _accuracy(side: Side) -> str:
    one = side.accuracy
    if one is None:
        return ""
    return f"{one.value:.1%} [{100 * one.low:.1f}, {100 * one.high:.1f}]" if one.count else f"{one.value:.1%}"


_OF_TRAINING: dict[str, Callable[[Side], str]] = {
    "Reward gained per nat": lambda side: "" if side.reward_per_kl is None else f"{side.reward_per_kl:.1f}",
    "Held-out accuracy": _accuracy,
    "Held-out margin": lambda side: "" if side.margin is None else f"{side.margin:.2f}",
    "Training took": lambda side: "" if side.seconds is None else duration_label(side.seconds),
    "Memory of its longest batch": lambda side: "" if side.memory is None else f"{side.memory / 2**30:.2f} GB",
}


def _prompt(material: Material, place: int) -> str:
    return prompt_label([{"role": turn["role"], "content": turn["content"]} for turn in material.prompts[place]])


def _cell(material: Material, subject: int, place: int) -> tuple[str, str] | None:
    one = material.subjects[subject].said[place]
    if one is None:
        return None
    notes: Sequence[str] = [
        "" if one.reward is None else f"reward {one.reward:+.2f}".replace("-", "−"),
        f"{one.tokens} tokens",
        "cut off" if one.is_cut else "",
        _fact_note(material, place, one.text),
    ]
    return without_thoughts(one.text), " · ".join(filter(None, notes))


def _fact_note(material: Material, place: int, answer: str) -> str:
    fact = material.facts[place] if material.facts else None
    if fact is None:
        return ""
    return "fact right" if fact_is_right(without_thoughts(answer), fact) else f"fact wrong: {' or '.join(fact)}"
