"""The conversation of one browser tab on the Compare page: one question after the other, each answered by both lanes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from workbench.core.chat import Talk
from workbench.core.data.messages import Message
from workbench.core.votes.vote import Choice, Side, Vote

SIDES: tuple[Side, Side] = ("left", "right")


def messages_of(talk: Talk, side: Side, question: str) -> list[Message]:
    """The conversation as one lane remembers it, with its next question."""
    messages = [Message(role="system", content=talk.system)] if talk.system else []
    for turn in talk.turns:
        messages.append(Message(role="user", content=turn.question))
        messages.append(Message(role="assistant", content=turn.of(side).text))
    return [*messages, Message(role="user", content=question)]


def answered(talk: Talk) -> dict[Side, list[Message]]:
    """The conversation with the last answer of each side, where there is one."""
    if not talk.turns:
        return {}
    said = {side: talk.turns[-1].of(side).text.strip() for side in SIDES}
    return {side: [*_asked(talk, side), Message(role="assistant", content=text)] for side, text in said.items() if text}


def rewarded(talk: Talk, rewards: Mapping[Side, float], name: str) -> Talk:
    """The conversation with what a reward model says of its last answers; with name "" it says nothing of them."""
    last = talk.turns[-1]
    left, right = (replace(last.of(side), reward=rewards.get(side)) for side in SIDES)
    turn = replace(last, answers=replace(last.answers, left=left, right=right))
    return replace(talk, turns=(*talk.turns[:-1], turn), rewarded_by=name if rewards else "")


def can_be_voted_on(talk: Talk) -> bool:
    """Whether both sides have answered, and one and the same conversation."""
    if not talk.turns:
        return False
    both = [talk.turns[-1].of(side) for side in SIDES]
    left, right = (_asked(talk, side) for side in SIDES)
    return left == right and all(answer.ended and answer.text.strip() for answer in both)


def vote_on(talk: Talk, choice: Choice, bases: Sequence[str]) -> Vote:
    """The vote on the last answers, which can be voted on. bases: name of the base model of each side."""
    left, right = (talk.turns[-1].of(side).text.strip() for side in SIDES)
    seed = talk.sampling.get("seed")
    return Vote(
        prompt=[dict(message) for message in _asked(talk, "left")], left=left, right=right, vote=choice, left_model=talk.left.run,
        right_model=talk.right.run, left_by=talk.left, right_by=talk.right, left_seed=seed, right_seed=seed, base=bases[0],
        left_base=bases[0], right_base=bases[1], sampling=talk.sampling,
    )  # fmt: skip


def _asked(talk: Talk, side: Side) -> list[Message]:
    """What a side gave its last answer to."""
    return messages_of(replace(talk, turns=talk.turns[:-1]), side, talk.turns[-1].question)
