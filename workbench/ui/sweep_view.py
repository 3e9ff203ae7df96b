"""A sweep on the Train page: one setting, several values, what that takes, and the button that queues the runs."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.sweep_result import cost_label
from workbench.core.training.methods import METHODS
from workbench.core.training.sweep import MOST, suggested, title_of, value_label, varied
from workbench.jobs import sweeps
from workbench.store import choices
from workbench.ui.frame import Frame, go_to
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import Html, facts, join, notice, text
from workbench.ui.train_form import config_from, fork_from
from workbench.ui.train_summary import expected_time, forecasts_of
from workbench.ui.updates import EACH, LATEST, QUIET, Updates

WHY = (
    f"The run of the form, several times: up to {MOST} values of one setting, and everything else the same. The runs wait in the queue, "
    "and Watch shows what each value came to, with how far chance could move it."
)


class SweepView:
    def __init__(self, method: str) -> None:
        """method: that the form begins with."""
        with gr.Accordion(
            "Sweep: try several values of one setting", open=False, elem_id="wb-train-sweep"
        ) as self.fold:
            gr.HTML(text(WHY))
            with gr.Row():
                offered = varied(method)
                self.setting = open_dropdown(
                    offered, value=offered[0][1], label="Setting", info="All others stay as they are in the form.",
                    min_width=240, elem_id="wb-train-sweep-setting",
                )  # fmt: skip
                self.values = gr.Textbox(
                    label="Values", info=f"2 to {MOST}, with commas between them: 0.05, 0.1, 0.3", max_lines=1,
                    min_width=240, elem_id="wb-train-sweep-values",
                )  # fmt: skip
            self.plan = gr.HTML(elem_id="wb-train-sweep-plan")
            self.add = gr.Button("Add these runs to the queue", elem_id="wb-train-sweep-add")
        self.unfolded = gr.State(False)
        self.asked: list[Component] = [self.unfolded, self.setting, self.values]

    def wire(self, named: Mapping[str, Component], frame: Frame) -> None:
        names, widgets = list(named), list(named.values())

        def show(is_open: bool, setting: str | None, written: str, *values: Any) -> Updates:
            return self.updates((is_open, setting, written), dict(zip(names, values, strict=True)))

        def offer(method: str, setting: str | None) -> Updates:
            """The settings of a method; chosen is the one that was, or what it is called there, with the values as they are."""
            offered = varied(method)
            own = (setting or "").rpartition(".")[2]
            same = [name for _, name in offered if name == setting] or [
                name for _, name in offered if name.rpartition(".")[2] == own
            ]
            return {self.setting: gr.Dropdown(offered, value=same[0] if same else offered[0][1])}

        def suggest(setting: str | None, *values: Any) -> Updates:
            return {self.values: suggested(setting or "", dict(zip(names, values, strict=True)).get(setting or ""))}

        def unfold(setting: str | None, written: str, *values: Any) -> Updates:
            return {self.unfolded: True} | ({} if written else suggest(setting, *values))

        def add(setting: str | None, written: str, *values: Any) -> Updates:
            form_values = dict(zip(names, values, strict=True))
            sweep = sweeps.add(planned(form_values, setting or "", written), fork_from(form_values))
            choices.update(run=sweep.members[0].run)
            return {frame.tabs: go_to("watch")}

        given = [self.setting, self.values, *widgets]
        self.fold.expand(unfold, given, [self.unfolded, self.values], **QUIET)
        self.fold.collapse(lambda: False, None, self.unfolded, **QUIET)
        named["method"].change(offer, [named["method"], self.setting], [self.setting], **EACH)
        self.setting.input(suggest, [self.setting, *widgets], [self.values], **LATEST)
        changed = [self.unfolded.change, self.setting.change, self.values.change]
        gr.on(changed, show, [*self.asked, *widgets], [self.plan], **LATEST)
        self.add.click(add, given, [frame.tabs], show_progress="minimal")

    def updates(self, asked: tuple[bool, str | None, str], values: Mapping[str, Any]) -> Updates:
        """The plan as the form is now, where it is looked at. asked: the values of `asked`."""
        is_open, setting, written = asked
        return {self.plan: plan_html(values, setting or "", written)} if is_open else {}


def planned(values: Mapping[str, Any], setting: str, written: str) -> sweeps.Planned:
    """The sweep of a form. Raises WorkbenchError with all that stands against any of its runs."""
    config = config_from(values)
    return sweeps.plan(config.model_dump(), setting, written, config.name, fork_from(values))


def plan_html(values: Mapping[str, Any], setting: str, written: str) -> Html:
    """The runs that would be added; or all that stands against them."""
    if not written.strip():
        return text("Write the values, and what they take is shown here.")
    try:
        found = planned(values, setting, written)
        forecasts = [one for config in found.configs for one in forecasts_of(config)]
    except WorkbenchError as error:
        return join(*[notice("warning", "Fix this first", problem) for problem in error.problems])
    runs = [(f"{title_of(setting)} {value_label(one.value)}", one.run) for one in found.sweep.members]
    told = [("Expected time in all", f"{expected_time(forecasts, len(runs))}. One after the other, in this order.")]
    if words := sharing_message(found):
        told.append(("Reference", words))
    return facts([*runs, *told])


def sharing_message(found: sweeps.Planned) -> str:
    """What the runs after the first one need not do again, with the figure where an earlier run tells it."""
    later = len(found.configs) - 1
    if not sweeps.will_share(found):
        if not METHODS[found.configs[-1].stages[-1]].has_reference:
            return ""
        return "Not shared: with these settings each run has one of its own, or computes it at each step."
    words = f"Shared: the first run asks it once for each answer, and the next {later} read what it said."
    if not (saved := sweeps.expected_sharing(found)):
        return f"{words} How much less each of them costs is known once a first run was timed."
    return (
        f"{words} So each of them costs about {cost_label(saved.seconds)} less, for {saved.answers:,} answers, at the pace of "
        f"{saved.run}."
    )
