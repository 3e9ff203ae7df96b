"""The two lanes of the chat on the Compare page: what was said in each, and the vote on which is better."""

from collections.abc import Callable, Mapping

import gradio as gr

from workbench.core.chat import Answer, Talk
from workbench.core.errors import WorkbenchError
from workbench.core.votes.vote import Choice, Side
from workbench.jobs.app_state import AppState
from workbench.jobs.lanes import base_names
from workbench.store import votes
from workbench.ui.compare.talk import SIDES, can_be_voted_on, vote_on
from workbench.ui.parts import Html, Lane, conversation, signed, text
from workbench.ui.updates import QUIET, Updates

NO_VOTE = text(
    "A vote needs two whole answers to the same conversation. The lanes have answered differently before: clear the chat and ask again."
)
_ENDS = {
    "limit": "cut off at the longest answer",
    "full": "cut off where the context is full",
    "stopped": "stopped",
}
VOTES: dict[Choice, str] = {
    "left": "Left is better",
    "tie": "Equally good",
    "both_bad": "Both are bad",
    "right": "Right is better",
}


class Lanes:
    """said: the conversation of each side."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-lanes"):
            self.said = {side: gr.HTML(lane_html(Talk(), side), elem_id=f"wb-lane-{side}") for side in SIDES}

    def updates(
        self, talk: Talk, writing: tuple[bool, bool] = (False, False), scored: Mapping[Side, Html] | None = None
    ) -> Updates:
        """Both lanes of a conversation. writing: whether the left and the right answer still grow.

        scored: the last answers as `changed` shows them.
        """
        return {
            self.said[side]: lane_html(talk, side, grows, (scored or {}).get(side))
            for side, grows in zip(SIDES, writing, strict=True)
        }


def lane_html(talk: Talk, side: Side, writing: bool = False, scored: Html | None = None) -> Html:
    """One lane as a chat, in the colour of what answers. scored: its last answer as `changed` shows it."""
    who = talk.answerer(side)
    lane: Lane = "aligned" if who.name else "base"
    title = f"aligned · {who.label}" if who.name else "base"
    if not who.name and talk.verified:
        title += " · adapter off, verified"
    messages: list[dict[str, object]] = []
    for turn in talk.turns:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.of(side).text})
    if not messages:
        return conversation([], lane, title, note="Its answer appears here.")
    return conversation(messages, lane, title, answer_label(talk.turns[-1].of(side)), writing, scored)


def answer_label(answer: Answer) -> str:
    """ "reward +1.20 · 18 tokens · 0.2 s to first · 61 tok/s · 1,204 of 4,096 tokens of context" """
    reward = [] if answer.reward is None else [f"reward {signed(answer.reward)}"]
    if answer.first_token is None:
        return "".join(reward)
    parts = [*reward, f"{answer.tokens} tokens", f"{answer.first_token:.1f} s to first"]
    if answer.per_second:
        parts.append(f"{answer.per_second:.0f} tok/s")
    if answer.ended in _ENDS:
        parts.append(_ENDS[answer.ended])
    if answer.context is not None and answer.asked:
        parts.append(f"{answer.used:,} of {answer.context:,} tokens of context")
    return " · ".join(parts)


class VoteBar:
    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-votes"):
            self.votes: dict[Choice, gr.Button] = {
                choice: gr.Button(words, size="sm", interactive=False, elem_id=f"wb-vote-{choice}")
                for choice, words in VOTES.items()
            }
        self.said = gr.HTML(elem_id="wb-compare-voted")

    @property
    def all(self) -> list[gr.Button | gr.HTML]:
        return [*self.votes.values(), self.said]

    def wire(self, talk: gr.State, app: AppState) -> None:
        def vote_as(choice: Choice) -> Callable[[Talk], Updates]:
            def keep(said: Talk) -> Updates:
                if not can_be_voted_on(said):
                    raise WorkbenchError("There are no two answers to vote on. Ask both something first.")
                given = vote_on(said, choice, base_names(app, [said.left, said.right]))
                return {**self.closed(), self.said: vote_message(votes.add(given))}

            return keep

        for choice, button in self.votes.items():
            button.click(vote_as(choice), talk, self.all, **QUIET)

    def updates(self, talk: Talk) -> Updates:
        """The votes wait for two whole answers to one and the same conversation."""
        possible = can_be_voted_on(talk)
        return {**self._interactive(possible), self.said: "" if possible or not talk.turns else NO_VOTE}

    def closed(self) -> Updates:
        """While an answer is written, and after a vote on it."""
        return self._interactive(False)

    def _interactive(self, possible: bool) -> Updates:
        return {button: gr.update(interactive=possible) for button in self.votes.values()}


def vote_message(count: int) -> Html:
    """What becomes of a vote."""
    noun = "vote is" if count == 1 else "votes are"
    return text(f"Kept. {count:,} {noun} waiting on the Data page, under Bring data: a vote for one answer is a pair.")
