"""Page 3: how shall it train?"""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.core.training.config import ModelRef, value_of
from workbench.core.training.methods import DATA_SETTINGS, METHODS
from workbench.jobs import queue
from workbench.jobs.app_state import AppState
from workbench.jobs.proposals import Proposal
from workbench.store import choices
from workbench.store.runs import Run, free_name
from workbench.ui import form, train_presets
from workbench.ui.frame import Frame, go_to
from workbench.ui.parts import page_head
from workbench.ui.sweep_view import SweepView
from workbench.ui.train_both_ways import BothWays
from workbench.ui.train_fields import BASE_MODEL, REWARD_RUN, TrainFields
from workbench.ui.train_form import config_from, fork_from, recipe_values
from workbench.ui.train_presets import PresetView, fitting_choice
from workbench.ui.train_summary import summary_html
from workbench.ui.train_trial import RewardTrial
from workbench.ui.updates import LATEST, QUIET, InOrder, Updates, shown_if

Offer = tuple[str | None, int]
"""The run that has the device, and how many wait for it: what the buttons and the summary depend on besides the form."""

FREE: Offer = (None, 0)

DEMO_DATA = {"sft_data": "demo-sft", "preference_data": "demo-preferences"}


class TrainTab:
    def __init__(self) -> None:
        gr.HTML(
            page_head(
                "How shall it train?",
                "A preset sets everything. Change what you like; the summary tells what it means.",
            )
        )
        online = tuple(stage for stage, one in METHODS.items() if one.online)
        with gr.Row(elem_classes="wb-two wb-form"):
            with gr.Column():
                self.preset = PresetView()
                self.fields = TrainFields(recipe_values(train_presets.DEMO))
                self.trial = RewardTrial()
                self.fields.of_stage += [(online, self.trial.ask), (online, self.trial.said)]
                self.sweep = SweepView(str(recipe_values(train_presets.DEMO)["method"]))
                self.both_ways = BothWays()
            with gr.Column(elem_classes="wb-beside"):
                self.meaning = gr.HTML(elem_id="wb-train-meaning")
                with gr.Row(elem_classes="wb-actions"):
                    self.start = gr.Button("Start training", variant="primary", elem_id="wb-train-start")
                    self.queue = gr.Button("Add to the queue", visible=False, elem_id="wb-train-queue")

    def wire(self, frame: Frame, app: AppState) -> None:
        preset, fields = self.preset, self.fields
        names, widgets = list(fields.named), list(fields.named.values())

        def show_plans(both_ways: bool, sweep: bool, setting: str | None, written: str, *values: Any) -> Updates:
            """All that follows from the form, in one request: the page takes a quarter of a second to send all its fields."""
            form_values = dict(zip(names, values, strict=True))
            asked = sweep, setting, written
            plans = self.both_ways.updates(both_ways, form_values) | self.sweep.updates(asked, form_values)
            return {self.meaning: summary_html(form_values), **plans}

        def take_recipe(recipe: str | None, card: str) -> Updates:
            values = recipe_values(recipe, card) if recipe else {}
            return {**preset.updates(recipe, card), **fields.fill(values)}

        def enter(recipe: str | None, card: str, start_from: str | None, method: str, reward: str | None) -> Updates:
            """What the page shows when it is opened: the data there is now, the runs to start from, a preset for the model."""
            chosen = choices.read()
            fitting = fitting_choice(recipe, chosen.model)
            values = recipe_values(fitting, card) if fitting != recipe and fitting else {}
            nothing_chosen = not chosen.sft_data and not chosen.preference_data
            demo = DEMO_DATA if nothing_chosen and chosen.model.source == "demo" else {}
            return {
                **preset.updates(fitting, card),
                **fields.fill(values),
                **fields.data_updates(chosen.model_copy(update=demo), values.get("method", method)),
                **fields.start_update(start_from),
                **fields.reward_updates(reward),
            }

        shown = [*preset.all, *widgets]
        entered = [preset.preset, preset.card, fields.start_from, fields.named["method"], fields.reward]
        given = [self.both_ways.unfolded, *self.sweep.asked, *widgets]
        plans = InOrder().of(show_plans, given, [self.meaning, self.both_ways.plan, self.sweep.plan])
        frame.opened["train"].select(enter, entered, shown, **QUIET).then(**plans, **QUIET)
        gr.on([preset.preset.input, preset.card.input], take_recipe, [preset.preset, preset.card], shown, **LATEST)
        gr.on([widget.change for widget in widgets], **plans, **LATEST)
        fields.wire()
        self.trial.wire(fields.named, app)
        self.sweep.wire(fields.named, frame)
        self.both_ways.wire(fields.named, frame)
        offered = self._wire_start(frame, app)
        offered.change(**plans, **QUIET)

    def _wire_start(self, frame: Frame, app: AppState) -> gr.State:
        """The buttons that begin a run. Gives back what is offered, which changes with the device and its queue."""
        names, widgets = list(self.fields.named), list(self.fields.named.values())
        offered = gr.State(FREE)

        def start(*values: Any) -> Updates:
            return begun(app.start, dict(zip(names, values, strict=True)))

        def add(*values: Any) -> Updates:
            return begun(queue.add, dict(zip(names, values, strict=True)))

        def begun(begin: Callable[..., Run], values: Mapping[str, Any]) -> Updates:
            run = begin(config_from(values), fork_from(values))
            choices.update(run=run.name)
            return {frame.tabs: go_to("watch"), self.fields.name: gr.Textbox(free_name(run.name))}

        def offer(shown: Offer) -> Updates:
            """The buttons as things are now."""
            now = offer_now(app)
            if now == shown:
                return {}
            starts, waits = now[0] is None, now != FREE
            return {
                self.start: shown_if(starts),
                self.queue: gr.Button(visible=waits, variant="secondary" if starts else "primary"),
                offered: now,
            }

        self.start.click(start, widgets, [frame.tabs, self.fields.name], show_progress="minimal")
        self.queue.click(add, widgets, [frame.tabs, self.fields.name], show_progress="minimal")
        frame.clock.each_second(offer, [offered], [self.start, self.queue, offered])
        return offered

    def try_when(self, frame: Frame, happens: Callable[..., Any]) -> None:
        """Once it happens, demo model, demo data and the demo preset: everything is set, and Start is the next click."""

        def try_it(card: str) -> Updates:
            chosen = choices.update(model=ModelRef(), **DEMO_DATA)
            return {
                frame.tabs: go_to("train"),
                **self.preset.updates(train_presets.DEMO, card),
                **self.fields.fill(recipe_values(train_presets.DEMO) | {"name": free_name("demo")}),
                **self.fields.data_updates(chosen.model_copy(update={"thumbs_data": None}), ""),
                **self.fields.start_update(BASE_MODEL),
                **self.fields.reward_updates(""),
            }

        happens(try_it, self.preset.card, self._filled(frame), **QUIET)

    def propose_when(
        self, frame: Frame, happens: Callable[..., Any], asked: Component, propose: Callable[[Any], Proposal]
    ) -> None:
        """Once it happens, the settings that are proposed for what is asked for then."""

        def fill_in(wanted: Any, card: str) -> Updates:
            proposal = propose(wanted)
            config = proposal.config
            data = {name: getattr(config, name) for name in DATA_SETTINGS if getattr(config, name)}
            chosen = choices.update(model=config.model, **data)
            return {
                frame.tabs: go_to("train"),
                **self.preset.updates(None, card),
                **self.fields.fill(form.from_config(config, self.fields.named)),
                **self.fields.data_updates(chosen, config.method),
                **self.fields.start_update(proposal.start_from),
                **self.fields.reward_updates(value_of(config, REWARD_RUN)),
            }

        happens(fill_in, [asked, self.preset.card], self._filled(frame), **QUIET)

    def take_length_when(self, frame: Frame, happens: Callable[..., Any], length: gr.State) -> None:
        """Once it happens, the longest example that was thought of on the Data page."""
        field = self.fields.named["max_length"]
        happens(
            lambda tokens: {field: gr.Number(value=tokens), frame.tabs: go_to("train")},
            length,
            [field, frame.tabs],
            **LATEST,
        )

    def _filled(self, frame: Frame) -> list[Any]:
        return [frame.tabs, *self.preset.all, *self.fields.named.values()]


def offer_now(app: AppState) -> Offer:
    """Start is offered where the device is free; the queue where it is not, or where others wait."""
    now = app.survey()
    return now.running.name if now.running else None, len(now.waiting)
