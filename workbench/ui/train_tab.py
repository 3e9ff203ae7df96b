"""Page 3: how shall it train?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.health import with_changes
from workbench.core.training.config import ModelRef, RunConfig, Stage
from workbench.core.training.forks import more_epochs
from workbench.core.training.methods import (
    CHAINS,
    DATA_SETTINGS,
    METHODS,
    fed_by,
    method_choices,
    methods_help,
    stage_title,
    stages_of,
)
from workbench.jobs import queue
from workbench.jobs.app_state import AppState
from workbench.jobs.planning import machine
from workbench.store import choices, datasets, presets
from workbench.store.forks import fork_of, forks_of, forks_of_model
from workbench.store.runs import Run, free_name, open_run, runs_to_start_from
from workbench.ui import form
from workbench.ui.border import border
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.pages import Pages, go_to
from workbench.ui.parts import Html, page_head
from workbench.ui.train_form import config_from, fork_from, recipe_values
from workbench.ui.train_presets import (
    about_html,
    card_choices,
    depends_on_card,
    fitting_choice,
    preset_choices,
    preset_summary,
)
from workbench.ui.train_summary import summary_html
from workbench.ui.watch_tab import better_fork, findings_of, suggested

BASE_MODEL = ""
"""What "Start from" holds where a run starts from the base model."""
BASE_MODEL_CHOICE = ("The base model, with a fresh adapter", BASE_MODEL)

Offer = tuple[str | None, int]
"""The run that has the device, and how many wait for it: what the buttons and the summary depend on besides the form."""

FREE: Offer = (None, 0)

FIRST_RECIPE = "demo"
DEMO_DATA = ("demo-sft", "demo-preferences")


@dataclass(frozen=True)
class TrainTab:
    method: gr.Radio
    recipe: gr.Dropdown
    card: gr.Dropdown
    about: gr.HTML
    name: gr.Textbox
    sft_data: gr.Dropdown
    preference_data: gr.Dropdown
    thumbs_data: gr.Dropdown
    start_from: gr.Dropdown
    settings: dict[str, Component]  # by dotted name
    of_stage: list[tuple[tuple[Stage, ...], Component]]  # what only some stages need
    advanced: gr.Accordion
    meaning: gr.HTML
    start: gr.Button
    queue: gr.Button

    @property
    def named(self) -> dict[str, Component]:
        """Every widget of the form, by the name of its setting."""
        top = {
            "method": self.method,
            "name": self.name,
            "sft_data": self.sft_data,
            "preference_data": self.preference_data,
            "thumbs_data": self.thumbs_data,
            "start_from": self.start_from,
        }
        return top | self.settings


def draw(app: AppState) -> TrainTab:
    gr.HTML(
        page_head(
            "How shall it train?", "A preset sets everything. Change what you like; the summary tells what it means."
        )
    )
    settings: dict[str, Component] = {}
    of_stage: list[tuple[tuple[Stage, ...], Component]] = []
    first = recipe_values(FIRST_RECIPE)
    device, _ = machine()
    own_card = presets.card_of(device).id
    with gr.Row(elem_classes="wb-two wb-meaning-first"):
        with gr.Column():
            recipe = gr.Dropdown(
                preset_choices(), value=FIRST_RECIPE, label="Preset", info=preset_summary(FIRST_RECIPE, own_card),
                elem_id="wb-train-recipe",
            )  # fmt: skip
            card = gr.Dropdown(
                card_choices(device), value=own_card, label="For which card", visible="hidden", elem_id="wb-train-card",
                info="A preset sets for each card what fits: models, length, batch, optimizer.",
            )  # fmt: skip
            about = gr.HTML(about_html(FIRST_RECIPE, own_card, ModelRef()), elem_id="wb-train-about")
            method = gr.Radio(
                method_choices(), value=CHAINS[0], label="Method", info=methods_help(), elem_id="wb-train-method"
            )
            with gr.Row():
                sft_data = open_dropdown(
                    [], label="Data for SFT", info="Answers to imitate.", elem_id="wb-train-sft-data"
                )
                preference_data = open_dropdown(
                    [],
                    label="Data of pairs",
                    info="Pairs of a better and a worse answer.",
                    elem_id="wb-train-preference-data",
                )
                thumbs_data = open_dropdown(
                    [],
                    label="Data for KTO",
                    info="Single answers with a thumb up or down.",
                    visible="hidden",
                    elem_id="wb-train-thumbs-data",
                )
            of_stage += zip(map(fed_by, DATA_SETTINGS), (sft_data, preference_data, thumbs_data), strict=True)
            start_from = open_dropdown(
                [BASE_MODEL_CHOICE], value=BASE_MODEL, label="Start from", elem_id="wb-train-start-from",
                info="A fresh adapter on the base model, the adapter that an earlier run of this model ended with, or a step "
                "of an unfinished one.",
            )  # fmt: skip
            name = gr.Textbox(
                label="Name of the run", info="Becomes a folder. Lower-case letters, digits, dots and hyphens.",
                placeholder="Left empty, a name is made from model and method", max_lines=1,
                elem_id="wb-train-name",
            )  # fmt: skip
            for pair in _in_pairs(list(form.UP_FRONT)):
                with gr.Row(elem_classes="wb-settings"):
                    settings |= {setting: _draw(setting, first) for setting in pair}
            with gr.Accordion("Advanced", open=False, elem_id="wb-train-advanced") as advanced:
                for pair in _in_pairs(form.advanced()):
                    with gr.Row(elem_classes="wb-settings"):
                        settings |= {setting: _draw(setting, first) for setting in pair}
            of_stage += [((stage,), drawn) for name, drawn in settings.items() if (stage := _stage_of(name))]
        with gr.Column():
            meaning = gr.HTML(elem_id="wb-train-meaning")
            start = gr.Button("Start training", variant="primary", elem_id="wb-train-start")
            add = gr.Button("Add to the queue", visible=False, elem_id="wb-train-queue")
    return TrainTab(
        method, recipe, card, about, name, sft_data, preference_data, thumbs_data, start_from, settings, of_stage, advanced,
        meaning, start, add,
    )  # fmt: skip


def wire(tab: TrainTab, pages: Pages, app: AppState) -> None:
    names = list(tab.named)
    widgets = list(tab.named.values())

    @border
    def summary(*values: Any) -> Html:
        return summary_html(dict(zip(names, values, strict=True)))

    def fill(values: Mapping[str, Any]) -> list[Any]:
        """Updates of all widgets, in order; a setting that is not named keeps its value."""
        return [gr.update(value=values[name]) if name in values else gr.skip() for name in names]

    def preset_updates(recipe: str | None, card: str) -> list[Any]:
        """Updates of the widgets around the preset: what it is for, whether the card matters, what it sets."""
        return [
            gr.Dropdown(value=recipe, info=preset_summary(recipe, card)),
            gr.Dropdown(value=card, visible=depends_on_card(recipe) or "hidden"),
            about_html(recipe, card, choices.read().model),
        ]

    @border
    def take_recipe(recipe: str | None, card: str) -> list[Any]:
        return [*preset_updates(recipe, card), *fill(recipe_values(recipe, card) if recipe else {})]

    @border
    def enter(recipe: str | None, card: str, start_from: str | None) -> list[Any]:
        """What the page shows when it is opened: the data there is now, the runs to start from, a preset for the model."""
        chosen = choices.read()
        fitting = fitting_choice(recipe, chosen.model)
        filled = dict(
            zip(names, fill(recipe_values(fitting, card) if fitting != recipe and fitting else {}), strict=True)
        )
        nothing_chosen = not chosen.sft_data and not chosen.preference_data
        data = (
            DEMO_DATA if nothing_chosen and chosen.model.source == "demo" else (chosen.sft_data, chosen.preference_data)
        )
        filled["sft_data"], filled["preference_data"], filled["thumbs_data"] = _data_updates(*data, chosen.thumbs_data)
        return [*preset_updates(fitting, card), *(filled | {"start_from": _start_update(start_from)}).values()]

    @border
    def show_stages(method: str) -> list[Any]:
        return [gr.update(visible=_visible(stages, method)) for stages, _ in tab.of_stage]

    @border
    def start(*values: Any) -> tuple[Any, Any]:
        form_values = dict(zip(names, values, strict=True))
        run = app.start(config_from(form_values), fork_from(form_values))
        choices.update(run=run.name)
        return go_to("watch"), gr.Textbox(free_name(run.name))

    @border
    def add(*values: Any) -> tuple[Any, Any]:
        form_values = dict(zip(names, values, strict=True))
        run = queue.add(config_from(form_values), fork_from(form_values))
        choices.update(run=run.name)
        return go_to("watch"), gr.Textbox(free_name(run.name))

    def offer(shown: Offer) -> Any:
        """The buttons that lead on, as things are now."""
        now = offer_now(app)
        if now == shown:
            return gr.skip()
        starts, waits = now[0] is None, now != FREE
        return [
            gr.Button(visible=starts),
            gr.Button(visible=waits, variant="secondary" if starts else "primary"),
            now,
        ]

    @border
    def try_it(card: str) -> list[Any]:
        """Demo model, demo data and the demo preset: everything is set, and Start is the next click."""
        choices.update(model=ModelRef(), sft_data=DEMO_DATA[0], preference_data=DEMO_DATA[1])
        filled = dict(zip(names, fill(recipe_values(FIRST_RECIPE)), strict=True))
        filled["sft_data"], filled["preference_data"], filled["thumbs_data"] = _data_updates(*DEMO_DATA, None)
        filled["start_from"] = _start_update(BASE_MODEL)
        filled["name"] = gr.Textbox(free_name("demo"))
        return [go_to("train"), *preset_updates(FIRST_RECIPE, card), *filled.values()]

    @border
    def run_again(run: str | None, card: str) -> list[Any]:
        """The settings of an earlier run, under a free name."""
        if not run:
            raise WorkbenchError("Choose a run first.")
        again = open_run(run)
        config = again.config()
        fork = fork_of(again)
        start_from = fork.written if fork and fork in forks_of_model(config.model) else config.start_from
        return fill_in(config.model_copy(update={"name": free_name(config.name)}), start_from, card)

    @border
    def run_better(run: str | None, card: str) -> list[Any]:
        """The settings of an earlier run with what its health suggests, under a free name."""
        config = better_config(app, open_run(run or ""))
        return fill_in(config, config.start_from, card)

    @border
    def run_better_from(run: str | None, card: str) -> list[Any]:
        """The same, from the newest checkpoint before the trouble."""
        chosen = open_run(run or "")
        fork = better_fork(chosen, findings_of(app, chosen))
        if fork is None:
            raise WorkbenchError(f"{chosen.name} has no checkpoint from before the trouble any more.")
        return fill_in(better_config(app, chosen), fork.written, card)

    @border
    def run_branch(run: str | None, card: str) -> list[Any]:
        """The settings of a run, from its newest checkpoint, to change something in them."""
        chosen = open_run(run or "")
        fork = next(iter(forks_of(chosen)), None)
        if fork is None:
            raise WorkbenchError(f"{chosen.name} has no checkpoint any more.")
        config = chosen.adjusted_config()
        return fill_in(config.model_copy(update={"name": free_name(config.name)}), fork.written, card)

    @border
    def run_more(run: str | None, card: str) -> list[Any]:
        """Two more epochs of a finished run."""
        chosen = open_run(run or "")
        return fill_in(more_epochs(chosen.adjusted_config(), free_name(chosen.name)), chosen.name, card)

    def fill_in(config: RunConfig, start_from: str | None, card: str) -> list[Any]:
        """The Train page with the settings of a config. start_from: as the widget of that name holds it."""
        data = {name: getattr(config, name) for name in DATA_SETTINGS if getattr(config, name)}
        choices.update(model=config.model, **data)
        filled = dict(zip(names, fill(form.from_config(config, names)), strict=True))
        filled["start_from"] = _start_update(start_from)
        chosen = choices.read()
        data_updates = _data_updates(chosen.sft_data, chosen.preference_data, chosen.thumbs_data)
        filled |= dict(zip(DATA_SETTINGS, data_updates, strict=True))
        return [go_to("train"), *preset_updates(None, card), *filled.values()]

    preset = [tab.recipe, tab.card, tab.about]
    pages.opened["train"].select(
        enter,
        [tab.recipe, tab.card, tab.start_from],
        [*preset, *widgets],
        show_progress="hidden",
    ).then(summary, widgets, tab.meaning, show_progress="hidden")
    tab.method.change(
        show_stages,
        tab.method,
        [drawn for _, drawn in tab.of_stage],
        show_progress="hidden",
        trigger_mode="always_last",
    )
    gr.on(
        [tab.recipe.input, tab.card.input],
        take_recipe,
        [tab.recipe, tab.card],
        [*preset, *widgets],
        show_progress="hidden",
        trigger_mode="always_last",
    )
    gr.on(
        [widget.change for widget in widgets],
        summary,
        widgets,
        tab.meaning,
        show_progress="hidden",
        trigger_mode="always_last",
    )
    tab.start.click(start, widgets, [pages.tabs, tab.name], show_progress="minimal")
    tab.queue.click(add, widgets, [pages.tabs, tab.name], show_progress="minimal")
    offered = gr.State(FREE)
    pages.clock.each_second(offer, [offered], [tab.start, tab.queue, offered])
    offered.change(summary, widgets, tab.meaning, show_progress="hidden")
    filled_in = [pages.tabs, *preset, *widgets]
    pages.model.try_it.click(try_it, tab.card, filled_in, show_progress="hidden")
    for button, happens in (
        (pages.watch.again, run_again),
        (pages.watch.better, run_better),
        (pages.watch.better_from, run_better_from),
        (pages.watch.branch, run_branch),
        (pages.watch.more, run_more),
    ):
        button.click(happens, [pages.watch.run, tab.card], filled_in, show_progress="hidden")


def better_config(app: AppState, run: Run) -> RunConfig:
    """The settings of a run with what its health suggests, under a free name."""
    finding = suggested(findings_of(app, run))
    if finding is None:
        raise WorkbenchError("Nothing is suggested for this run any more.")
    return with_changes(run.adjusted_config(), finding, free_name(run.name))


def offer_now(app: AppState) -> Offer:
    """Start is offered where the device is free; the queue where it is not, or where others wait."""
    now = app.survey()
    return now.running.name if now.running else None, len(now.waiting)


def _data_updates(sft_data: str | None, preference_data: str | None, thumbs_data: str | None) -> list[Any]:
    known = datasets.all_abouts()
    updates = []
    for setting, name in zip(DATA_SETTINGS, (sft_data, preference_data, thumbs_data), strict=True):
        own, *lent = METHODS[fed_by(setting)[0]].kinds
        held = [(one.title, one.name) for one in known if one.kind == own]
        # A preference dataset lends SFT its chosen answers, so it can stand in both lists.
        held += [(f"{one.title}: its chosen answers", one.name) for one in known if one.kind in lent]
        updates.append(gr.Dropdown(held, value=name if name in [value for _, value in held] else None))
    return updates


def _start_update(start_from: str | None) -> Any:
    """The runs that the model of the Model page can start from, with one of them chosen, or the base model."""
    model = choices.read().model
    ended = [(f"{run.name}, as it ended", run.name) for run in runs_to_start_from(model)]
    steps = [
        (f"{fork.run}, at {stage_title(fork.stage)} step {fork.step:,}", fork.written) for fork in forks_of_model(model)
    ]
    known = [BASE_MODEL_CHOICE, *ended, *steps]
    return gr.Dropdown(known, value=start_from if start_from in [value for _, value in known] else BASE_MODEL)


def _draw(setting: str, values: Mapping[str, Any]) -> Component:
    """A setting with its value, shown where the method that these values name needs it."""
    stage = _stage_of(setting)
    return form.draw_field(setting, values[setting], _visible((stage,), values["method"]) if stage else True)


def _stage_of(name: str) -> Stage | None:
    """The stage whose own setting this is; None where others need it too."""
    return next((stage for stage in METHODS if name.startswith(f"{stage}.")), None)


def _visible(stages: Sequence[Stage], method: str) -> bool | str:
    """Whether what some stages need is shown. Hidden ones stay on the page, so that they keep what was set."""
    return any(stage in stages for stage in stages_of(method)) or "hidden"


def _in_pairs(names: list[str]) -> list[list[str]]:
    return [names[start : start + 2] for start in range(0, len(names), 2)]
