"""Who answers on the Compare page, what it is asked, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from workbench.core.data.messages import Message
from workbench.core.training.forks import Fork, parse_fork
from workbench.core.training.methods import stage_title
from workbench.core.training.settings import Settings

STRONGEST = 1.5
"""The most that an adapter's update is scaled by. Above 1 it is extrapolated (ExPO, Zheng et al. 2024)."""


class Sampling(Settings):
    """How answers are drawn. All that are compared draw with the same settings, seed and random numbers."""

    temperature: float = Field(
        0.7,
        ge=0,
        le=2,
        title="Temperature",
        description="How adventurous the answers are. 0 always takes the likeliest token.",
    )
    top_p: float = Field(
        0.95,
        gt=0,
        le=1,
        title="Top-p",
        description="Samples only from the likeliest tokens that together have this probability.",
    )
    max_new_tokens: int = Field(
        256, ge=1, le=4096, title="Max new tokens", description="How long an answer may become."
    )
    seed: int = Field(17, ge=0, le=2**31 - 1, title="Seed", description="Same seed, same question: same answers.")


@dataclass(frozen=True)
class Answerer:
    """The base model, or an adapter on it that acts with some strength.

    name: "" for the base model, "first" for what the run of that name ended with, "first@dpo-120" for a checkpoint that it
    keeps. strength: what LoRA adds is scaled by it, from 0 (the base model) over 1 (as it was trained) to STRONGEST.
    """

    name: str = ""
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= STRONGEST:
            raise ValueError(f"strength is {self.strength}; it must be from 0 to {STRONGEST}")

    @property
    def is_base(self) -> bool:
        return not self.name or not self.strength

    @property
    def checkpoint(self) -> Fork | None:
        return parse_fork(self.name)

    @property
    def run(self) -> str:
        """Name of the run; "" for the base model."""
        return self.checkpoint.run if self.checkpoint else self.name

    @property
    def label(self) -> str:
        """As on a page: "first, step 120 of DPO × 0.5"."""
        if not self.name:
            return "base"
        at = self.checkpoint
        words = f"{at.run}, step {at.step:,} of {stage_title(at.stage)}" if at else self.name
        return words if self.strength == 1 else f"{words} × {self.strength:g}"


BASE = Answerer()


@dataclass(frozen=True)
class Ask:
    """One lane's question: the conversation so far, and who answers."""

    messages: list[Message]
    answerer: Answerer = BASE


@dataclass
class Answer:
    """One lane's answer while it grows."""

    text: str = ""
    tokens: int = 0
    first_token: float | None = None  # seconds from the question
    per_second: float | None = None  # tokens
    ended: str = ""  # "" while it grows; "end", "limit" (max new tokens), "full" (of the model's context) or "stopped"
    asked: int = 0  # tokens of the conversation before it
    context: int | None = None  # tokens that the model can read in all, where that is known
    reward: float | None = None  # standardised, where a reward model was asked

    @property
    def used(self) -> int:
        """Tokens of the conversation with the answer."""
        return self.asked + self.tokens

    @property
    def left(self) -> int | None:
        """Tokens that the conversation can still grow by; None where the model does not say."""
        return None if self.context is None else max(0, self.context - self.used)


@dataclass
class Answers:
    """Both lanes' answers while they grow."""

    left: Answer = field(default_factory=Answer)
    right: Answer = field(default_factory=Answer)
    verified: bool | None = None  # whether "adapter off" was seen to give the base model's numbers


@dataclass(frozen=True)
class Answered:
    """One answer of a grid. prompt, answerer: places in the lists that were asked. ended: as in `Answer`, never "".

    tokens: without the end token. repetition: see `repetition` in core/monitoring/health. asked: tokens of the prompt.
    """

    prompt: int
    answerer: int
    text: str
    tokens: int
    ended: str
    repetition: float
    asked: int


@dataclass(frozen=True)
class ToScore:
    """An answer of which is to be known what an adapter changed. ended: whether the answer came to its end by itself, so that
    its end token counts."""

    messages: list[Message]
    answer: str
    answerer: Answerer
    ended: bool = True


@dataclass(frozen=True)
class TokenScore:
    """A token of an answer, and its log-probability in nats with and without the adapter.

    text: "" where a character has several tokens, for all but the last of them.
    """

    text: str
    aligned: float
    base: float
    is_end: bool = False

    @property
    def ratio(self) -> float:
        """log pi_aligned - log pi_base."""
        return self.aligned - self.base


@dataclass(frozen=True)
class Score:
    """What an adapter changed of an answer. beta: of the run, where its last stage was measured against a reference.

    reward: beta times the log ratio of the whole answer, the reward that DPO's policy implies up to a constant of the prompt
    (Rafailov et al. 2023, section 4). The ratio is to the base model, also where the run's reference was its SFT model.
    """

    tokens: Sequence[TokenScore]
    beta: float | None = None

    @property
    def ratio(self) -> float:
        return sum(token.ratio for token in self.tokens)

    @property
    def reward(self) -> float | None:
        return None if self.beta is None else self.beta * self.ratio


@dataclass(frozen=True)
class Turn:
    """A question, and what both lanes answered."""

    question: str
    answers: Answers

    def of(self, side: Literal["left", "right"]) -> Answer:
        return self.answers.left if side == "left" else self.answers.right


@dataclass(frozen=True)
class Talk:
    """A conversation: one question after the other, each answered by both lanes, which remember their own answers.

    left, right: who answers there. sampling: of the last answers, as `Sampling` has it. id: names its file; "" until one is kept.
    rewarded_by: the reward model that scored the last answers; "" where none did. saved: how often it was kept, which tells whether
    another tab of the browser went on with it.
    """

    turns: tuple[Turn, ...] = ()
    left: Answerer = BASE
    right: Answerer = BASE
    verified: bool | None = None
    system: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    rewarded_by: str = ""
    saved: int = 0

    def answerer(self, side: Literal["left", "right"]) -> Answerer:
        return self.left if side == "left" else self.right
