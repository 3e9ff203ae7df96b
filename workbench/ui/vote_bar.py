"""The votes of the Compare page: which of two answers is better."""

from collections.abc import Callable

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.store import votes
from workbench.store.votes import Choice
from workbench.ui.parts import Html, text
from workbench.ui.talk import Talk, vote_on
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
