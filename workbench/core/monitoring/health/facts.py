"""What the examples and the answers of a stage are like, counted for the rules."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from workbench.core.training.config import Stage

# So much more of an answer said again is noticed when it is read.
REPEATS_MORE = 0.05


SAMPLE_SHARE = "samples/share"
"""What share of a stage's time its answers have taken, beside what `sample_facts` says of them; since it was resumed."""


class Sample(TypedDict):
    """One line of samples.jsonl: the likeliest answer to a fixed prompt, at an evaluation.

    reward: what it is worth, where a reward judges it. tokens: of the answer, without its end token. hit_limit: cut before it came
    to an end. repetition: see `repetition`. implicit_reward: beta times the log ratio of policy and reference (Rafailov et al. 2023,
    section 4) of this answer; implicit_reward_of_start: the same of what was answered before the first step, under the policy of now.
    """

    stage: Stage
    step: int
    prompt: list[Mapping[str, Any]]
    answer: str
    tokens: int
    hit_limit: bool
    repetition: float
    reward: NotRequired[float]
    implicit_reward: NotRequired[float]
    implicit_reward_of_start: NotRequired[float]


def answer_facts(
    prompts: Sequence[Sequence[int]],
    chosen: Sequence[Sequence[int]],
    rejected: Sequence[Sequence[int]] | None,
    ends: set[int],
) -> dict[str, float]:
    """What the examples of a stage are like, as one row of metrics.jsonl before the first step.

    prompts, chosen, rejected: tokens as they are trained on, cut at the longest example; SFT has no rejected answers.
    ends: tokens at which the model stops. Some templates write a line break after one, so it need not be the last.
    """
    if not chosen:
        return {}
    answers = [tuple(ids) for ids in chosen]
    facts = {
        "answers/examples": float(len(set(zip(map(tuple, prompts), answers, strict=True)))),
        "answers/commonest": Counter(answers).most_common(1)[0][1] / len(answers),
        "answers/chosen": statistics.fmean(len(ids) for ids in answers),
        "answers/ended": statistics.fmean(not ends.isdisjoint(ids) for ids in answers),
    }
    if rejected is None:
        return facts
    pairs = list(zip(answers, rejected, strict=True))
    return facts | {
        "answers/rejected": statistics.fmean(len(ids) for ids in rejected),
        "answers/chosen_longer": statistics.fmean(len(a) > len(b) for a, b in pairs),
        "answers/chosen_shorter": statistics.fmean(len(a) < len(b) for a, b in pairs),
    }


def repetition(tokens: Sequence[int]) -> float:
    """Share of an answer's runs of four tokens that stood in it before, from 0 to 1; 0 for fewer than four tokens."""
    fours = [tuple(tokens[place : place + 4]) for place in range(len(tokens) - 3)]
    return 1 - len(set(fours)) / len(fours) if fours else 0.0


def sample_facts(now: Sequence[Sample], start: Sequence[Sample]) -> dict[str, float]:
    """The answers of one evaluation in numbers, as a row of metrics.jsonl.

    start: what was answered before the first step; empty where that is not known. Prompt by prompt says more than two
    means: one answer out of eight that runs wild moves a mean, and is no habit.
    """
    if not now:
        return {}
    facts = {
        "samples/answers": float(len(now)),
        "samples/tokens": statistics.fmean(one["tokens"] for one in now),
        "samples/at_limit": statistics.fmean(one["hit_limit"] for one in now),
        "samples/repetition": statistics.fmean(one["repetition"] for one in now),
    }
    if [one["prompt"] for one in start] != [one["prompt"] for one in now]:
        return facts
    both = list(zip(start, now, strict=True))
    return facts | {
        "samples/longer": statistics.fmean(b["tokens"] > a["tokens"] for a, b in both),
        "samples/repeats_more": statistics.fmean(b["repetition"] > a["repetition"] + REPEATS_MORE for a, b in both),
    }
