"""The form of the Train page: method, data, where to start from, name, and every setting."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from workbench.core.training.config import ModelRef, Stage, fields
from workbench.core.training.methods import (
    DATA_SETTINGS,
    METHODS,
    fed_by,
    method_choices,
    stage_title,
    stages_of,
    that_use,
)
from workbench.store import choices, datasets
from workbench.store.best import step_of_result
from workbench.store.choices import Choices
from workbench.store.forks import forks_of_model
from workbench.store.run_notes import label_of
from workbench.store.runs import Run, open_run, reward_runs, runs_to_start_from
from workbench.ui import form
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import facts
from workbench.ui.updates import EACH, LATEST, Updates

BASE_MODEL = ""
"""What "Start from" holds where a run starts from the base model."""
BASE_MODEL_CHOICE = ("The base model, with a fresh adapter", BASE_MODEL)

_LENT_PROMPTS = "preference_data"
_PAIRS_LOOK = {"label": "Data of pairs", "info": "Pairs of a better and a worse answer."}
REWARD_RUN = next(name for name, field in fields().items() if form.chooses(field) == "reward run")


class TrainFields:
    """named: every widget, by the dotted name of its setting. of_stage: those that only some stages need."""

    def __init__(self, first: Mapping[str, Any]) -> None:
        """first: the settings to begin with, by dotted name."""
        self.named: dict[str, Component] = {}
        self.named["method"] = gr.Radio(
            method_choices(), value=first["method"], label="Method", info=_method_help(first["method"]),
            elem_id="wb-train-method",
        )  # fmt: skip
        with gr.Accordion("What each method does", open=False):
            gr.HTML(facts((one.title, f"{one.long_title}: {one.help}") for one in METHODS.values()))
        with gr.Row():
            self.named |= _draw_data()
        self.named["start_from"] = open_dropdown(
            [BASE_MODEL_CHOICE], value=BASE_MODEL, label="Start from", elem_id="wb-train-start-from",
            info="A fresh adapter on the base model, the adapter that an earlier run of this model ended with, or a step "
            "of an unfinished one.",
        )  # fmt: skip
        self.named["name"] = gr.Textbox(
            label="Name of the run", info="Becomes a folder. Lower-case letters, digits, dots and hyphens.",
            placeholder="Left empty, a name is made from model and method", max_lines=1,
            elem_id="wb-train-name",
        )  # fmt: skip
        with gr.Row(elem_classes="wb-settings"):
            self.named |= {setting: _draw(setting, first) for setting in form.UP_FRONT}
        self.rarely_changed = gr.Accordion("Advanced", open=False, elem_id="wb-train-advanced")
        with self.rarely_changed, gr.Row(elem_classes="wb-settings"):
            self.named |= {setting: _draw(setting, first) for setting in form.advanced()}
        self.of_stage: list[tuple[tuple[Stage, ...], Block]] = [
            (fed_by(setting), self.named[setting]) for setting in DATA_SETTINGS
        ]
        self.of_stage += [(stages, widget) for name, widget in self.named.items() if (stages := stages_with(name))]

    @property
    def name(self) -> Component:
        return self.named["name"]

    @property
    def start_from(self) -> Component:
        return self.named["start_from"]

    @property
    def reward(self) -> Component:
        """Which reward run judges."""
        return self.named[REWARD_RUN]

    def wire(self) -> None:
        """What only some methods need is shown with them; of the methods, what the chosen one does."""
        method, pairs = self.named["method"], self.named[_LENT_PROMPTS]

        def show_stages(chosen: str, data: str | None) -> Updates:
            shown = self._shown_with(chosen)
            offered = _offered(_LENT_PROMPTS, chosen)
            shown[pairs] |= gr.update(**_data_look(chosen), choices=offered)
            # What fits is not sent back: meanwhile the page may have been given another one.
            if data and data not in [name for _, name in offered]:
                shown[pairs] |= gr.update(value=None)
            return shown | {method: gr.update(info=_method_help(chosen))}

        drawn = [widget for _, widget in self.of_stage]
        method.change(show_stages, [method, pairs], [method, *drawn], **EACH)
        # What was told to be shown while it was folded away, and so was not in the page yet, stays hidden there.
        self.rarely_changed.expand(self._shown_with, method, drawn, **LATEST)

    def _shown_with(self, method: str) -> Updates:
        """What only some methods need, as this one needs it or not."""
        return {drawn: gr.update(visible=visible(stages, method)) for stages, drawn in self.of_stage}

    def fill(self, values: Mapping[str, Any]) -> Updates:
        """Settings as these values say, shown where their method needs them; one that is not named keeps what it holds."""
        shown = self._shown_with(values["method"]) if "method" in values else {}
        found = {self.named[name]: gr.update(value=value) for name, value in values.items()}
        return {widget: update | shown.get(widget, {}) for widget, update in found.items()}

    def data_updates(self, chosen: Choices, method: str) -> Updates:
        """The data that there is now, with what is chosen of it."""
        return {
            self.named[setting]: _choice(_offered(setting, method), getattr(chosen, setting))
            for setting in DATA_SETTINGS
        }

    def reward_updates(self, chosen: str | None) -> Updates:
        """The reward models of the model of the Model page, with one of them chosen, or none."""
        model = choices.read().model
        offered = [(reward_label(run), run.name) for run in reward_runs(model)]
        info = fields()[REWARD_RUN].description if offered else no_reward_message(model)
        names = [run_name for _, run_name in offered]
        value = chosen if chosen in names else ""
        return {self.reward: gr.Dropdown([("none", ""), *offered], value=value, info=info)}

    def start_update(self, start_from: str | None) -> Updates:
        """The runs that the model of the Model page can start from, with one of them chosen, or the base model."""
        model = choices.read().model
        ended = [(f"{label_of(run)}, {_result_label(run)}", run.name) for run in runs_to_start_from(model)]
        steps = [
            (f"{label_of(open_run(fork.run))}, at {stage_title(fork.stage)} step {fork.step:,}", fork.written)
            for fork in forks_of_model(model)
        ]
        return {self.start_from: _choice([BASE_MODEL_CHOICE, *ended, *steps], start_from, BASE_MODEL)}


def _result_label(run: Run) -> str:
    """Which of its steps the result of a run is."""
    at = step_of_result(run)
    return f"its best step, {stage_title(at.stage)} step {at.step:,}" if at else "as it ended"


def _method_help(method: str) -> str:
    """What the stages of a method do, in a sentence each."""
    return " ".join(f"{METHODS[stage].title} {METHODS[stage].help}" for stage in stages_of(method))


def _draw_data() -> dict[str, Component]:
    looks: dict[str, dict[str, Any]] = {
        "sft_data": {"label": "Data for SFT", "info": "Answers to imitate."},
        _LENT_PROMPTS: {**_PAIRS_LOOK},
        "thumbs_data": {
            "label": "Data for KTO", "info": "Single answers with a thumb up or down.", "visible": "hidden",
        },
    }  # fmt: skip
    return {
        name: open_dropdown([], elem_id=f"wb-train-{name.replace('_', '-')}", **look) for name, look in looks.items()
    }


def _draw(setting: str, values: Mapping[str, Any]) -> Component:
    """A setting with its value, shown where the method that these values name needs it."""
    stages = stages_with(setting)
    return form.draw_field(setting, values[setting], visible(stages, values["method"]) if stages else True)


def _offered(setting: str, method: str) -> list[tuple[str, str]]:
    """Title and name of the data that a setting can name, with what it lends to a method that learns something else of it."""
    known = datasets.all_abouts()
    stages = fed_by(setting)
    learns = next((one for one in stages_of(method) if one in stages and METHODS[one].online), stages[0])
    own, *lent = METHODS[learns].kinds
    part = "its prompts" if METHODS[learns].online else "its chosen answers"
    offered = [(one.title, one.name) for one in known if one.kind == own]
    # A preference dataset lends SFT its chosen answers, so it can stand in both lists.
    return offered + [(f"{one.title}: {part}", one.name) for one in known if one.kind in lent]


def _data_look(method: str) -> dict[str, str]:
    """What the data of pairs are called: a method that answers by itself reads their prompts alone."""
    if any(METHODS[stage].online for stage in stages_of(method)):
        return {"label": "Prompts", "info": "Only the prompts are used: the model answers them itself."}
    return _PAIRS_LOOK


def reward_label(run: Run) -> str:
    """ "judge · right in 91 % of 200 held-out pairs" """
    facts = run.reward_facts()
    if facts is None or facts.accuracy is None:
        return label_of(run)
    return f"{label_of(run)} · right in {facts.accuracy:.0%} of {facts.pairs:,} held-out pairs"


def no_reward_message(model: ModelRef) -> str:
    """That there is no reward model yet, and how one comes about."""
    return (
        f"No reward model of the {model.title} has finished yet. Train one first: choose the method Reward model above, with the "
        "same data of pairs, and start it; then it is offered here. Without one, write rewards by rule below."
    )


def _choice(options: Sequence[tuple[str, str]], value: str | None, otherwise: str | None = None) -> gr.Dropdown:
    return gr.Dropdown(list(options), value=value if value in [one for _, one in options] else otherwise)


def stage_of(name: str) -> Stage | None:
    """The stage whose own setting this is; None where others need it too."""
    return next((stage for stage in METHODS if name.startswith(f"{stage}.")), None)


def stages_with(name: str) -> tuple[Stage, ...]:
    """The stages that need a setting, where not all do; () where all do."""
    stage = stage_of(name)
    found = (stage,) if stage else that_use(name)
    return () if len(found) == len(METHODS) else found


def visible(stages: Sequence[Stage], method: str) -> bool | str:
    """Whether what some stages need is shown. Hidden ones stay on the page, so that they keep what was set."""
    return any(stage in stages for stage in stages_of(method)) or "hidden"
