"""What alignment changed of two answers, token by token: which to score, and how the scores are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from workbench.core.chat import Answerer, Score, Talk, TokenScore, ToScore
from workbench.core.data.thoughts import answer_start
from workbench.core.votes.vote import Side
from workbench.ui.compare.talk import SIDES, messages_of
from workbench.ui.parts import Html, ScoredPiece, scored_answer, scored_legend, signed, text
from workbench.ui.word_diff import Spans, differing_words

MOST_CHANGED = 3  # words that are named below an answer

READING = (
    "Each token is coloured by log π aligned − log π base: a solid line means that the adapter made it likelier, a dashed line less "
    "likely, and +0.7 is twice as likely. Words in bold are not in the other answer."
)
NOTHING = "Both lanes are the base model: no adapter changed anything."


@dataclass(frozen=True)
class Parted:
    """The pieces of an answer and of the thoughts before it. finished: whether the thoughts came to an end."""

    thoughts: list[ScoredPiece]
    answer: list[ScoredPiece]
    finished: bool = True


def to_score(talk: Talk) -> dict[Side, ToScore]:
    """The last answers that can be scored: each with its own adapter, that of a base lane with the other lane's."""
    if not talk.turns:
        return {}
    last, earlier = talk.turns[-1], replace(talk, turns=talk.turns[:-1])
    found: dict[Side, ToScore] = {}
    for side in SIDES:
        answer, adapter = last.of(side), _adapter_of(talk, side)
        if adapter and answer.text:
            messages = messages_of(earlier, side, last.question)
            found[side] = ToScore(messages, answer.text, adapter, answer.ended == "end")
    return found


def scored_html(talk: Talk, scores: Mapping[Side, Score]) -> dict[Side, Html]:
    """The last answers in the colours of what was changed."""
    parted = {side: without_its_thoughts(pieces_of(score.tokens)) for side, score in scores.items()}
    texts = [_text(parted[side].answer) if side in parted else "" for side in SIDES]
    differing = dict(zip(SIDES, differing_words(*texts), strict=True))
    return {
        side: scored_answer(
            _marked(one.answer, differing[side]), _facts(talk, side, scores[side], one), one.thoughts, one.finished
        )
        for side, one in parted.items()
    }


def reading_html(talk: Talk) -> Html:
    """How to read the colours, or why there are none."""
    return scored_legend(READING) if any(_adapter_of(talk, side) for side in SIDES) else text(NOTHING)


def pieces_of(tokens: Sequence[TokenScore]) -> list[ScoredPiece]:
    """Tokens as they can be shown: those that make up one character together are one piece, with the sum of their numbers."""
    pieces: list[ScoredPiece] = []
    ratio, count = 0.0, 0
    for token in tokens:
        ratio, count = ratio + token.ratio, count + 1
        if token.text:
            pieces.append(ScoredPiece(token.text, ratio, count, special=token.is_end))
            ratio, count = 0.0, 0
    if count:  # an answer that was cut off within a character
        pieces.append(ScoredPiece("\ufffd", ratio, count))
    return pieces


def without_its_thoughts(pieces: list[ScoredPiece]) -> Parted:
    """The pieces of an answer apart from those of its thoughts. One that reaches from these into the answer is the answer's."""
    start = answer_start(_text(pieces))
    if start is None:
        return Parted(pieces, [], finished=False)
    found = Parted([], [])
    for piece, end in zip(pieces, accumulate(len(piece.text) for piece in pieces), strict=True):
        if end <= start:
            found.thoughts.append(piece)
        else:
            found.answer.append(piece._replace(text=piece.text[max(0, start - end + len(piece.text)) :]))
    return found


def _text(pieces: Sequence[ScoredPiece]) -> str:
    return "".join(piece.text for piece in pieces if not piece.special)


def _adapter_of(talk: Talk, side: Side) -> Answerer | None:
    other = talk.answerer("right" if side == "left" else "left")
    return next((one for one in (talk.answerer(side), other) if not one.is_base), None)


def _facts(talk: Talk, side: Side, score: Score, parted: Parted) -> list[str]:
    """What the numbers of an answer come to, without its thoughts; only its implicit reward is of both, as it is defined."""
    adapter = _adapter_of(talk, side)
    by = f" with {adapter.label}" if adapter and talk.answerer(side).is_base else ""
    whole = "answer without its thoughts" if parted.thoughts else "whole answer"
    ratio = sum(piece.ratio for piece in parted.answer)
    total = (
        f"log ratio of the {whole}{by}: {signed(ratio)} nats"
        if parted.finished
        else "no answer: its thoughts have no end"
    )
    if score.reward is None:
        reward = "implicit reward: not defined, because the run was not measured against a reference"
    else:
        reward = f"implicit reward β · log ratio = {score.beta:g} · {signed(score.ratio)} = {signed(score.reward)}"
        reward += ", thoughts included" if parted.thoughts else ""
    most = sorted((one for one in parted.answer if one.text.strip()), key=lambda one: -abs(one.ratio))[:MOST_CHANGED]
    named = " · ".join(f"“{one.text.strip()}” {signed(one.ratio)}" for one in most)
    return [total, reward, *([f"changed most: {named}"] if named else [])]


def _marked(pieces: list[ScoredPiece], spans: Spans) -> list[ScoredPiece]:
    """The pieces, of which those that reach into one of the spans differ."""
    ends = accumulate(len(piece.text) for piece in pieces)
    marked, first = [], 0
    for piece, end in zip(pieces, ends, strict=True):
        while first < len(spans) and spans[first][1] <= end - len(piece.text):
            first += 1
        reaches = not piece.special and first < len(spans) and spans[first][0] < end
        marked.append(piece._replace(differs=reaches))
    return marked
