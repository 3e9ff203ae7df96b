"""One vote: two answers to a prompt, who gave them, and what a person thought of them."""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from workbench.core.chat import Answerer
from workbench.core.data.thoughts import without_thoughts

Choice = Literal["left", "right", "tie", "both_bad"]
Side = Literal["left", "right"]
Purpose = Literal["measure", "teach"]


class Vote(BaseModel):
    """prompt: the messages that both answers follow. left_model, right_model: name of a run, or "" for the base model.

    left_by, right_by: who answered, with checkpoint and strength. base: name of the base model, left_base and right_base of either
    side's own, "" where it is that one. sampling, left_seed, right_seed: how the answers were drawn.
    left_words, right_words: their lengths, without thoughts. time: ISO 8601, UTC. sitting: its id, "" for a vote in the
    open chat. purpose: of that sitting. match: number in it, from 0. first: the side of the sitting's first answerer.
    ideal: what the voter would rather have read, "" for nothing. id: by which a vote is undone, and known when it is sent
    again. Votes of earlier versions lack most of these.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt: list[dict[str, str]]
    left: str
    right: str
    vote: Choice
    left_model: str
    right_model: str
    base: str
    left_base: str = ""
    right_base: str = ""
    sampling: dict[str, Any] = {}
    time: str = ""
    id: str = ""
    sitting: str = ""
    purpose: Purpose | None = None
    match: int | None = None
    first: Side | None = None
    left_by: Answerer | None = None
    right_by: Answerer | None = None
    left_seed: int | None = None
    right_seed: int | None = None
    left_words: int | None = None
    right_words: int | None = None
    ideal: str = ""

    @property
    def question(self) -> str:
        """What makes two votes a vote on the same thing; the later one holds. Each sitting asks anew."""
        return json.dumps([self.prompt, self.left, self.right, *([self.sitting] if self.sitting else [])])

    def answerer(self, side: Side) -> Answerer:
        by, model = (self.left_by, self.left_model) if side == "left" else (self.right_by, self.right_model)
        return by or Answerer(model)

    def base_of(self, side: Side) -> str:
        """Name of the base model that answered on a side, also under an adapter."""
        return (self.left_base if side == "left" else self.right_base) or self.base

    def words(self, side: Side) -> int:
        """Length of an answer, which votes of earlier versions do not tell."""
        told, text = (self.left_words, self.left) if side == "left" else (self.right_words, self.right)
        return word_count(text) if told is None else told

    @property
    def score(self) -> float:
        """1 where the left answer won, 0 where the right one did, a half for a tie and for two bad answers."""
        return {"left": 1.0, "right": 0.0}.get(self.vote, 0.5)


def word_count(text: str) -> int:
    """Words of an answer, without its thoughts."""
    return len(without_thoughts(text).split())


def same_text(one: str, other: str) -> bool:
    """Whether two answers differ in nothing but white space, so that no vote could tell them apart."""
    return without_thoughts(one).split() == without_thoughts(other).split()
