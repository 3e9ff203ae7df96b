"""The conversation of one browser tab on the Compare page: one question after the other, each answered by both lanes."""

from collections.abc import Mapping
from dataclasses import replace

from workbench.core.chat import Talk
from workbench.core.data.messages import Message
from workbench.core.votes.vote import Choice, Side, Vote
from workbench.jobs.lanes import base_names

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
    last, earlier = talk.turns[-1], replace(talk, turns=talk.turns[:-1])
    said = {side: last.of(side).text.strip() for side in SIDES}
    return {
        side: [*messages_of(earlier, side, last.question), Message(role="assistant", content=text)]
        for side, text in said.items()
        if text
    }


def rewarded(talk: Talk, rewards: Mapping[Side, float], name: str) -> Talk:
    """The conversation with what a reward model says of its last answers; with name "" it says nothing of them."""
    last = talk.turns[-1]
    left, right = (replace(last.of(side), reward=rewards.get(side)) for side in SIDES)
    turn = replace(last, answers=replace(last.answers, left=left, right=right))
    return replace(talk, turns=(*talk.turns[:-1], turn), rewarded_by=name if rewards else "")


def vote_on(talk: Talk, choice: Choice) -> Vote | None:
    """The vote on the last answers; None where there are none, or where they answer different conversations."""
    if not talk.turns:
        return None
    last, earlier = talk.turns[-1], replace(talk, turns=talk.turns[:-1])
    answers = [last.of(side) for side in SIDES]
    if not all(answer.ended and answer.text.strip() for answer in answers):
        return None
    asked = [messages_of(earlier, side, last.question) for side in SIDES]
    if asked[0] != asked[1]:
        return None
    left, right = (answer.text.strip() for answer in answers)
    bases = base_names([talk.left, talk.right])
    seed = talk.sampling.get("seed")
    return Vote(
        prompt=[dict(message) for message in asked[0]], left=left, right=right, vote=choice, left_model=talk.left.run,
        right_model=talk.right.run, left_by=talk.left, right_by=talk.right, left_seed=seed, right_seed=seed, base=bases[0],
        left_base=bases[0], right_base=bases[1], sampling=talk.sampling,
    )  # fmt: skip
