"""What the two lanes of the Compare page are asked."""

from dataclasses import dataclass, field

from pydantic import Field

from workbench.core.data.messages import Message
from workbench.core.training.settings import Settings

BASE = None
"""As the adapter of a lane: the base model by itself."""


class Sampling(Settings):
    """How answers are drawn. Both lanes draw with the same settings, seed and random numbers."""

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
class Ask:
    """One lane's question: the conversation so far, and which adapter answers (a run's name, or BASE)."""

    messages: list[Message]
    adapter: str | None = BASE


@dataclass
class Answer:
    """One lane's answer while it grows."""

    text: str = ""
    tokens: int = 0
    first_token: float | None = None  # seconds from the question
    per_second: float | None = None  # tokens
    ended: str = ""  # "" while it grows; "end", "limit" or "stopped"


@dataclass
class Answers:
    """Both lanes' answers while they grow."""

    left: Answer = field(default_factory=Answer)
    right: Answer = field(default_factory=Answer)
    verified: bool | None = None  # whether "adapter off" was seen to give the base model's numbers
