"""Page 5: is it better? Who answers, and the views that ask: a chat, many prompts at once, blind votes."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.ui.compare.chat_view import ChatView
from workbench.ui.compare.grid_view import GridView
from workbench.ui.compare.reward_choice import RewardChoice
from workbench.ui.compare.sitting_view import SittingView
from workbench.ui.compare.who_answers import HowToAnswer, WhoAnswers
from workbench.ui.frame import Frame
from workbench.ui.parts import page_head


class CompareTab:
    def __init__(self) -> None:
        gr.HTML(
            page_head(
                "Is it better?",
                "One question to both. They share one base model, the settings and the random numbers: only the adapter differs.",
            )
        )
        self.who = WhoAnswers()
        self.reward = RewardChoice()
        with gr.Tabs(
            selected="chat", elem_id="wb-compare-views", elem_classes="wb-views", overflow_behavior="wrap"
        ) as self.views:
            with gr.Tab("Chat", id="chat"):
                self.chat = ChatView()
            with gr.Tab("Many prompts", id="many"):
                self.many = GridView()
            with gr.Tab("Blind votes", id="votes") as self._votes_tab:
                self.votes = SittingView()
        self.how = HowToAnswer()

    def wire(self, frame: Frame, app: AppState) -> Callable[..., Any]:
        """Gives back the event after which `votes.stored` names what a next round of training is to learn from."""
        self.who.wire(frame, app)
        self.reward.wire(frame, app)
        self.chat.wire(self.who, self.how, self.reward, frame, app)
        self.many.when_voting(
            lambda questions, grid: {self.views: gr.Tabs(selected="votes"), **self.votes.open_grid(questions, grid)},
            [self.views, *self.votes.shown],
        )
        self.many.wire(self.who, self.how, self.reward, app)
        wanted: Callable[..., Any] = self.votes.wire(self.who, self.how, frame, self._votes_tab, app)
        return wanted
