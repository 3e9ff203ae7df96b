"""DPO against RLHF on the Train page: what runs that takes, and the button that puts them into the queue."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.duration import StageForecast
from workbench.core.training.config import RunConfig
from workbench.core.training.methods import stage_title
from workbench.jobs import queue
from workbench.store import choices
from workbench.ui.frame import Frame, go_to
from workbench.ui.parts import Html, facts, join, notice, text
from workbench.ui.train_form import both_ways_from
from workbench.ui.train_summary import expected_time, forecasts_of
from workbench.ui.updates import LATEST, QUIET, Updates

WHY = (
    "The same model, aligned on the same pairs in both ways, so that you can see which is better: DPO learns from the pairs directly; "
    "RLHF trains a reward model on them first, and then the model against it. PPO itself left TRL in 1.13 for lack of use; RLOO, which "
    "takes its place here, has the same KL-regularised objective without the critic."
)


class BothWays:
    def __init__(self) -> None:
        with gr.Accordion("DPO against RLHF", open=False, elem_id="wb-train-both") as self.fold:
            gr.HTML(text(WHY))
            self.plan = gr.HTML(elem_id="wb-train-both-plan")
            self.add = gr.Button("Add these runs to the queue", elem_id="wb-train-both-add")
        self.unfolded = gr.State(False)

    def wire(self, named: Mapping[str, Component], frame: Frame) -> None:
        names, widgets = list(named), list(named.values())

        def show(is_open: bool, *values: Any) -> Updates:
            return self.updates(is_open, dict(zip(names, values, strict=True)))

        def add(*values: Any) -> Updates:
            runs = queue.add_all(both_ways_from(dict(zip(names, values, strict=True))))
            choices.update(run=runs[0].name)
            return {frame.tabs: go_to("watch")}

        self.fold.expand(lambda: True, None, self.unfolded, **QUIET)
        self.fold.collapse(lambda: False, None, self.unfolded, **QUIET)
        self.unfolded.change(show, [self.unfolded, *widgets], [self.plan], **LATEST)
        self.add.click(add, widgets, [frame.tabs], show_progress="minimal")

    def updates(self, is_open: bool, values: Mapping[str, Any]) -> Updates:
        """The plan as the form is now, where it is looked at."""
        return {self.plan: plan_html(values)} if is_open else {}


def plan_html(values: Mapping[str, Any]) -> Html:
    """The runs that would be added, in their order; or what stands against them."""
    try:
        configs = both_ways_from(values)
        queue.check_all(configs)
        forecasts = [one for config in configs for one in forecasts_of(config)]
    except WorkbenchError as error:
        return join(*[notice("warning", "Fix this first", problem) for problem in error.problems])
    return join(
        facts((config.name, _run_summary(config, one)) for config, one in zip(configs, forecasts, strict=True)),
        text(
            f"Expected time in all: {expected_time(forecasts)}. One after the other; a run whose start or reward model has not finished "
            "waits for it."
        ),
    )


def _run_summary(config: RunConfig, forecast: StageForecast) -> str:
    """ "RLOO, 25 steps, from demo-sft, judged by reward model demo-reward" """
    judges = " + ".join(config.own(forecast.stage).judges())
    start = config.start_from or "the base model"
    judged = f", judged by {judges}" if judges else ""
    return f"{stage_title(forecast.stage)}, {forecast.steps:,} steps, from {start}{judged}"
