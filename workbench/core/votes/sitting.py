"""A blind sitting: prompts with answers made in advance, in which order they are voted on, and what may be shown.

A measuring sitting asks a fixed random list of held-out prompts, and its result is a win rate. A teaching sitting asks
first what teaches most, so that its votes are training data and never a win rate.
"""

import math
import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat

from workbench.core.chat import Answerer
from workbench.core.data.messages import Message, message, prompt_key
from workbench.core.data.thoughts import without_thoughts
from workbench.core.votes.vote import Choice, Purpose, Vote, same_text, word_count

# Sides are even within every so many matches: whoever stops early has seen both answerers on either side.
_BLOCK = (False, False, True, True)


class Question(BaseModel):
    """A prompt and what each answerer said to it, in their order; None for what is still to be answered.

    seeds: of the answers. rewards: the implicit reward of each answer, beta * log ratio (Rafailov et al. 2023, eq. 5), where
    it is known.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt: list[dict[str, str]]
    answers: list[str | None]
    seeds: list[int | None] = []
    rewards: list[FiniteFloat] | None = None


class Match(BaseModel):
    """Two answers to a question: numbers of the question and of both answerers. swapped: the first stands on the right."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    question: int
    first: int
    second: int
    swapped: bool

    @property
    def sides(self) -> tuple[int, int]:
        """Numbers of the answerers on the left and on the right."""
        return (self.second, self.first) if self.swapped else (self.first, self.second)


class Sitting(BaseModel):
    """Everything that a reload needs to go on. matches: what is voted on, in this order, made by `seated`.

    bases: names of the base models of the answerers; sittings of earlier versions have only base, which is that of the first.
    every_pair: of more than two answerers all pairs are asked of each prompt, not one of them. seed: of order and sides.
    asked: how many questions have been seated. skipped: pairs of identical answers, which no vote can tell apart.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    purpose: Purpose
    base: str
    bases: list[str] = []
    answerers: list[Answerer]
    questions: list[Question]
    seed: int = 0
    every_pair: bool = False
    sampling: dict[str, Any] = {}
    time: str = ""
    matches: list[Match] = []
    asked: list[int] = []
    skipped: int = 0


@dataclass(frozen=True)
class Shown:
    """What a page may show of a match. names: who answered left and right, None before the vote."""

    prompt: list[Message]
    left: str
    right: str
    names: tuple[str, str] | None


def held_out_prompts(prompts: Sequence[Sequence[Message]], count: int, seed: int) -> list[list[Message]]:
    """A fixed random list of prompts, each once."""
    once = {prompt_key(prompt): list(prompt) for prompt in prompts}
    return random.Random(seed).sample(list(once.values()), min(count, len(once)))


def seated(sitting: Sitting) -> Sitting:
    """The sitting with matches for every question that is answered and was not seated before, behind those that were."""
    ready = [
        number
        for number, question in enumerate(sitting.questions)
        if number not in sitting.asked and all(answer is not None for answer in question.answers)
    ]
    dice = random.Random(f"{sitting.seed}/{len(sitting.asked)}")
    dice.shuffle(ready)
    pairs = list(combinations(range(len(sitting.answerers)), 2))
    dice.shuffle(pairs)
    asked = len(sitting.asked)
    found = [
        (number, pair)
        for place, number in enumerate(ready, start=asked)
        for pair in (pairs if sitting.every_pair else [pairs[place % len(pairs)]])
    ]
    kept = [(number, pair) for number, pair in found if not same_text(*_answers(sitting.questions[number], pair))]
    if sitting.purpose == "teach":
        kept.sort(key=lambda one: -teaches(sitting.questions[one[0]], one[1]))
    matches = list(sitting.matches)
    for number, (first, second) in kept:
        matches.append(Match(question=number, first=first, second=second, swapped=_swapped(sitting.seed, len(matches))))
    skipped = sitting.skipped + len(found) - len(kept)
    return sitting.model_copy(update={"matches": matches, "asked": [*sitting.asked, *ready], "skipped": skipped})


def teaches(question: Question, pair: tuple[int, int]) -> float:
    """How much a vote on two answers can teach, from 0 to 1: the share of words in which they differ, times how unsure the
    implicit rewards are which is better (1 at even odds). Without rewards by the words alone."""
    one, other = (Counter(without_thoughts(text).casefold().split()) for text in _answers(question, pair))
    differ = 1 - (one & other).total() / max((one | other).total(), 1)
    if question.rewards is None:
        return differ
    margin = question.rewards[pair[0]] - question.rewards[pair[1]]
    prefers = 1 / (1 + math.exp(-max(-50.0, min(50.0, margin))))
    return differ * 4 * prefers * (1 - prefers)


def next_match(sitting: Sitting, voted: Collection[int]) -> int | None:
    """Number of the first match without a vote; None where all have one."""
    return next((number for number in range(len(sitting.matches)) if number not in voted), None)


def shown(sitting: Sitting, number: int, voted: Collection[int]) -> Shown:
    """What may be shown of a match: who answered only when it has a vote."""
    match = sitting.matches[number]
    question = sitting.questions[match.question]
    left, right = _answers(question, match.sides)
    names = [sitting.answerers[place].label for place in match.sides]
    if names[0] == names[1]:  # several drafts of one model
        names = [f"{name}, answer {place + 1}" for name, place in zip(names, match.sides, strict=True)]
    prompt = [message(turn["role"], turn["content"]) for turn in question.prompt]
    return Shown(prompt, left, right, (names[0], names[1]) if number in voted else None)


def vote_on_match(sitting: Sitting, number: int, choice: Choice, ideal: str = "") -> Vote:
    """The vote as it is stored. ideal: what the voter would rather have read."""
    match = sitting.matches[number]
    question = sitting.questions[match.question]
    left, right = _answers(question, match.sides)
    by = [sitting.answerers[place] for place in match.sides]
    bases = [sitting.bases[place] if sitting.bases else sitting.base for place in match.sides]
    seeds = [question.seeds[place] if place < len(question.seeds) else None for place in match.sides]
    return Vote(
        prompt=question.prompt, left=left, right=right, vote=choice, left_model=by[0].run, right_model=by[1].run,
        base=sitting.base, left_base=bases[0], right_base=bases[1], sampling=sitting.sampling, sitting=sitting.id, purpose=sitting.purpose, match=number,
        first="right" if match.swapped else "left", left_by=by[0], right_by=by[1], left_seed=seeds[0], right_seed=seeds[1],
        left_words=word_count(left), right_words=word_count(right), ideal=ideal.strip(),
    )  # fmt: skip


def _answers(question: Question, pair: tuple[int, int]) -> tuple[str, str]:
    one, other = (question.answers[place] or "" for place in pair)
    return one, other


def _swapped(seed: int, number: int) -> bool:
    """Whether the first answerer of a match stands on the right: in every block of four it does so twice."""
    block, place = divmod(number, len(_BLOCK))
    return random.Random(f"sides/{seed}/{block}").sample(_BLOCK, len(_BLOCK))[place]
