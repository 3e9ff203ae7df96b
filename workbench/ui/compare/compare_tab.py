"""Page 5: is it better? Who answers, and the views that ask: a chat, many prompts at once, blind votes, a report."""

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
from workbench.ui.report.report_view import ReportView
from workbench.ui.updates import QUIET, there_while


class CompareTab:
    def __init__(self) -> None:
        gr.HTML(
            page_head(
                "Is it better?",
                "One question to both. They share one base model, the settings and the random numbers: only the adapter differs.",
            )
        )
        with gr.Column() as self._sides:
            self.who = WhoAnswers()
            self.reward = RewardChoice()
        with gr.Tabs(
            selected="chat", elem_id="wb-compare-views", elem_classes="wb-views", overflow_behavior="wrap"
        ) as self.views:
            with gr.Tab("Chat", id="chat") as self._chat_tab:
                self.chat = ChatView()
            with gr.Tab("Many prompts", id="many") as self._many_tab:
                self.many = GridView()
            with gr.Tab("Blind votes", id="votes") as self._votes_tab:
                self.votes = SittingView()
            with gr.Tab("Report", id="report") as self._report_tab:
                self.report = ReportView()
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
        self.many.wire(self.who, self.how, self.reward, frame, app)
        # A report names its own runs: left and right would only be in its way.
        # Hidden, not absent: they may be mounted only now, and then Gradio would show them again.
        self._report_tab.select(lambda: {self._sides: there_while(False)}, None, [self._sides], **QUIET)
        others = [self._chat_tab.select, self._many_tab.select, self._votes_tab.select]
        gr.on(others, lambda: {self._sides: there_while(True)}, None, [self._sides], **QUIET)
        self.report.wire(self.how, frame, self._report_tab, app)
        wanted: Callable[..., Any] = self.votes.wire(self.who, self.how, frame, self._votes_tab, app)
        return wanted
