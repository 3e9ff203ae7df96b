"""The two lanes of the Compare page: what answers in each, what it said, and the vote on which is better."""

from collections.abc import Callable

import gradio as gr

from workbench.core.chat import Answer
from workbench.core.errors import WorkbenchError
from workbench.store import votes
from workbench.store.runs import all_runs, model_of, readable_runs
from workbench.store.votes import Choice
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import Html, Lane, conversation, text
from workbench.ui.talk import BASE_CHOICE, SIDES, Side, Talk, vote_on
from workbench.ui.updates import QUIET, Updates

NO_VOTE = text(
    "A vote needs two whole answers to the same conversation. The lanes have answered differently before: clear the chat and ask again."
)
VOTES: dict[Choice, str] = {
    "left": "Left is better",
    "tie": "Equally good",
    "both_bad": "Both are bad",
    "right": "Right is better",
}


class Lanes:
    """choices: what answers. said: the conversation. note: what is going on, above both."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-lane-choice"):
            chosen = {"left": BASE_CHOICE, "right": newest_adapter()}
            self.choices = {
                side: open_dropdown(
                    lane_choices(), value=chosen[side], label=side.title(), elem_id=f"wb-compare-{side}"
                )
                for side in SIDES
            }
        self.note = gr.HTML(elem_id="wb-compare-note")
        with gr.Row(elem_classes="wb-lanes"):
            self.said = {side: gr.HTML(lane_html(Talk(), side), elem_id=f"wb-lane-{side}") for side in SIDES}

    def updates(self, talk: Talk, writing: tuple[bool, bool] = (False, False)) -> Updates:
        """Both lanes of a conversation. writing: whether the left and the right answer still grow."""
        return {self.said[side]: lane_html(talk, side, grows) for side, grows in zip(SIDES, writing, strict=True)}


def lane_html(talk: Talk, side: Side, writing: bool = False) -> Html:
    """One lane as a chat, in the colour of what answers."""
    name = talk.run_of(side)
    lane: Lane = "aligned" if name else "base"
    title = f"aligned · {name}" if name else "base"
    if not name and talk.verified:
        title += " · adapter off, verified"
    messages: list[dict[str, object]] = []
    for turn in talk.turns:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.of(side).text})
    if not messages:
        return conversation([], lane, title, note="Its answer appears here.")
    return conversation(messages, lane, title, note=speed_label(talk.turns[-1].of(side)), writing=writing)


def speed_label(answer: Answer) -> str:
    """ "18 tokens · 0.2 s to first · 61 tok/s" """
    if answer.first_token is None:
        return ""
    parts = [f"{answer.tokens} tokens", f"{answer.first_token:.1f} s to first"]
    if answer.per_second:
        parts.append(f"{answer.per_second:.0f} tok/s")
    parts += {"limit": ["cut off at the longest answer"], "stopped": ["stopped"]}.get(answer.ended, [])
    return " · ".join(parts)


def lane_choices() -> list[tuple[str, str]]:
    """The base model, and every run that has an adapter."""
    adapters = [
        (f"{run.name} ({model.title})", run.name)
        for run in all_runs()
        if run.has_adapter and (model := model_of(run)) is not None
    ]
    return [("base model, no adapter", BASE_CHOICE), *adapters]


def newest_adapter() -> str:
    """The newest run that has an adapter; the base model where there is none."""
    return next((run.name for run in readable_runs() if run.has_adapter), BASE_CHOICE)


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

    def wire(self, talk: gr.State) -> None:
        def vote_as(choice: Choice) -> Callable[[Talk], Updates]:
            def keep(said: Talk) -> Updates:
                given = vote_on(said, choice)
                if given is None:
                    raise WorkbenchError("There are no two answers to vote on. Ask both something first.")
                return {**self._interactive(False), self.said: vote_message(votes.add(given))}

            return keep

        for choice, button in self.votes.items():
            button.click(vote_as(choice), talk, self.all, **QUIET)

    def updates(self, talk: Talk) -> Updates:
        """The votes wait for two whole answers to one and the same conversation."""
        possible = vote_on(talk, "tie") is not None
        return {**self._interactive(possible), self.said: "" if possible or not talk.turns else NO_VOTE}

    def _interactive(self, possible: bool) -> Updates:
        return {button: gr.update(interactive=possible) for button in self.votes.values()}


def vote_message(count: int) -> Html:
    """What becomes of a vote."""
    noun = "vote is" if count == 1 else "votes are"
    return text(f"Kept. {count:,} {noun} waiting on the Data page, under Bring data: a vote for one answer is a pair.")
