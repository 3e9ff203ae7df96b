"""What a report is computed from, as it was measured and as it is kept on disk: everything else follows from it."""

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from workbench.core.chat import Answerer
from workbench.core.votes.result import Result

VERSION = 1
"""Of the form in which a report is kept. A newer one may mean something else by the same names, and is not read."""

Count = Annotated[int, Field(ge=0, le=10**12)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Said(_Part):
    """One answer. ended, repetition: see `Answered` in core/chat.py. reward: standardised, None where nothing gave one."""

    text: str
    tokens: Count
    ended: str
    repetition: Annotated[float, Field(ge=0, le=1)] = 0.0
    reward: FiniteFloat | None = None

    @property
    def is_cut(self) -> bool:
        """Whether it never came to an end."""
        return self.ended in ("limit", "full")


class Subject(_Part):
    """One that answered. seed: of its answers; another one where the same run is compared with itself.

    method: title of what it was trained with last. data: every dataset that it learned from, the last one first. results:
    what the run measured on held-out rows of its data, of which it looked at `held_out`. rewarded_by: the reward run that it was trained to please, if any. seconds, memory (bytes, of the
    longest batch): what the training took. said: by prompt. log_ratios: log pi - log pi_base of each token of its own
    answers, drawn at temperature 1. neutral: log-probability of each token of the neutral text.
    """

    answerer: Answerer = Answerer()
    seed: int = 0
    method: str = ""
    data: list[str] = []
    results: dict[str, FiniteFloat] = {}
    held_out: Count = 0
    rewarded_by: str = ""
    seconds: Annotated[FiniteFloat, Field(ge=0)] | None = None
    memory: Count | None = None
    said: list[Said | None] = []
    log_ratios: list[list[FiniteFloat]] = []
    neutral: list[FiniteFloat] = []


class Pair(_Part):
    """Places of two subjects."""

    first: Count
    second: Count


class BlindVotes(Pair):
    """What measuring sittings say of the second one against the first one."""

    result: Result


class Judged(Pair):
    """What a judge model said of the second one against the first one, prompt by prompt: 1 where it prefers the second one
    in both orders, 0 the first one, None where its two verdicts do not agree or it was not asked."""

    scores: list[Annotated[float, Field(ge=0, le=1)] | None] = []


class Judge(_Part):
    """A model that was asked which of two answers is better. voted: pairs with a vote of one's own that it was asked about.

    decided: of those, how many it decided alike in both orders. agreed: of those, as the vote did.
    """

    title: str
    voted: Count = 0
    decided: Count = 0
    agreed: Count = 0
    pairs: list[Judged] = []


class RewardModel(_Part):
    """A run that gives rewards. data: what it learned from. accuracy: on held-out pairs."""

    name: str
    data: list[str] = []
    accuracy: FiniteFloat | None = None


class Material(_Part):
    """Everything that was measured. subjects: the base model first.

    data: whose held-out rows the prompts are; "" for prompts from elsewhere. facts: of the demo, words of which a right answer
    holds one, by prompt; None where nobody knows. missing: what could not be measured, and why. stopped: before all was.
    """

    version: int = VERSION
    id: str = ""
    time: str = ""
    base: str = ""
    is_demo: bool = False
    data: str = ""
    prompts: list[list[dict[str, str]]] = []
    facts: list[list[str] | None] = []
    sampling: dict[str, float] = {}
    subjects: list[Subject] = []
    reward: RewardModel | None = None
    judge: Judge | None = None
    votes: list[BlindVotes] = []
    missing: list[str] = []
    stopped: bool = False

    def label(self, place: int) -> str:
        """Who a subject is. The seed is said where somebody is compared with itself."""
        one = self.subjects[place]
        label = one.answerer.label
        alike = sum(other.answerer == one.answerer for other in self.subjects) > 1
        return f"{label}, seed {one.seed}" if alike else label

    @property
    def learned_from(self) -> set[str]:
        """Every dataset that one of the runs learned from."""
        return {name for one in self.subjects for name in one.data}


def problems(material: Material) -> list[str]:
    """What in the parts of a report does not fit together, as a file that was damaged or written by hand has it."""
    found = []
    count, prompts = len(material.subjects), len(material.prompts)
    if not count:
        found.append("it has nobody who answered")
    if any(len(one.said) != prompts for one in material.subjects):
        found.append(f"somebody has not one answer (or none) for each of the {prompts} prompts")
    if material.facts and len(material.facts) != prompts:
        found.append(f"it has {len(material.facts)} facts for {prompts} prompts")
    rates = [rate for one in material.votes for rate in (one.result.raw, one.result.at_equal_length) if rate]
    if any(not math.isfinite(number) for rate in rates for number in (rate.rate, rate.low, rate.high)):
        found.append("a win rate is no number")
    pairs: list[Pair] = [*material.votes, *(material.judge.pairs if material.judge else ())]
    if any(not (one.first < count and one.second < count) for one in pairs):
        found.append("a comparison names somebody who is not there")
    if material.judge and any(len(one.scores) != prompts for one in material.judge.pairs):
        found.append(f"the judge has not one verdict (or none) for each of the {prompts} prompts")
    if any({*turn} != {"role", "content"} for prompt in material.prompts for turn in prompt) or not all(
        material.prompts
    ):
        found.append("a prompt is no list of messages with a role and a content")
    return found
