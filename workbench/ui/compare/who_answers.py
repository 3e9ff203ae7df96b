"""Who answers on the left and on the right, on all views of the Compare page: the base model, a run or a checkpoint, and how strongly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.core.chat import STRONGEST, Answerer, Sampling
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import checked
from workbench.jobs import lanes as asking
from workbench.jobs.app_state import AppState
from workbench.store.answerers import offered
from workbench.store.runs import readable_runs
from workbench.ui.frame import Frame
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import Html, empty, text
from workbench.ui.updates import LATEST, InOrder, Updates

BASE_CHOICE = ""
"""Value of a side that answers with the base model alone. Gradio's dropdowns have no None among their choices."""


@dataclass(frozen=True)
class SideChoice:
    """who: an `Answerer`'s name. strength: shown where an adapter answers."""

    who: gr.Dropdown
    strength: gr.Slider


class WhoAnswers:
    """note: what is going on, or in which way they answer."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-lane-choice"):
            self.left = _side("left", BASE_CHOICE)
            self.right = _side("right", newest_adapter())
        self.note = gr.HTML(elem_id="wb-compare-note")

    @property
    def inputs(self) -> list[gr.Dropdown | gr.Slider]:
        """What `answerers` takes."""
        return [self.left.who, self.left.strength, self.right.who, self.right.strength]

    @property
    def names(self) -> list[gr.Dropdown]:
        return [self.left.who, self.right.who]

    @property
    def strengths(self) -> list[gr.Slider]:
        return [self.left.strength, self.right.strength]

    def wire(self, frame: Frame, app: AppState) -> None:
        listed = gr.State(())

        def list_runs(shown: tuple[object, ...]) -> Updates:
            """One may just have ended, or got a title. The checkpoints of one that trains are listed anew when the page is opened."""
            survey = app.survey()
            now = *survey.states.items(), *survey.titles.items()
            if now == shown:
                return {}
            return {**{one: gr.update(choices=who_choices()) for one in self.names}, listed: now}

        frame.clock.each_second(list_runs, [listed], [*self.names, listed])

        def show(left: str, _left: float, right: str, _right: float) -> Updates:
            return {
                self.left.strength: gr.update(visible=bool(left)),
                self.right.strength: gr.update(visible=bool(right)),
                self.note: way_html(app, left, right),
            }

        shown = InOrder().of(show, self.inputs, [*self.strengths, self.note])
        gr.on([one.change for one in self.names], **shown, **LATEST)


class HowToAnswer:
    """System prompt and sampling, the same for both sides."""

    def __init__(self) -> None:
        with gr.Accordion("System prompt and sampling", open=False):
            self.system = gr.Textbox(
                label="System prompt",
                info="Given to both before the first question. Leave it empty for none.",
                lines=2,
                elem_id="wb-compare-system",
            )
            with gr.Row():
                self._sampling = {name: _number(name) for name in Sampling.model_fields}

    @property
    def seed(self) -> gr.Number:
        return self._sampling["seed"]

    @property
    def inputs(self) -> list[gr.Textbox | gr.Number]:
        """The system prompt, and what `sampling` takes."""
        return [self.system, *self._sampling.values()]

    def updates(self, system: str, sampling: Mapping[str, Any]) -> Updates:
        """The fields with these values. sampling: by the names of `Sampling`; what is not named stays."""
        return {
            self.system: system,
            **{field: sampling[name] for name, field in self._sampling.items() if name in sampling},
        }

    def sampling(self, *values: float | None) -> Sampling:
        """Raises WorkbenchError where a number is not one that can be sampled with."""
        named = zip(self._sampling, values, strict=True)
        return checked(Sampling, {name: value for name, value in named if value is not None})


def answerers(
    left: str | None, left_strength: float | None, right: str | None, right_strength: float | None
) -> tuple[Answerer, Answerer]:
    """Who answers, as it is chosen on the page; where nothing is, the base model."""
    sides = ((left or BASE_CHOICE, left_strength), (right or BASE_CHOICE, right_strength))
    one, other = (Answerer(name, 1.0 if not name or strength is None else float(strength)) for name, strength in sides)
    return one, other


def way_html(app: AppState, left: str, right: str) -> Html:
    """Where both do not answer in one batch, why; and what is missing before anything can be compared."""
    if newest_adapter() == BASE_CHOICE and not (left or right):
        return empty(
            "Nothing to compare yet", "Train a run first, on the Train page. Until then both sides are the base model."
        )
    try:
        way = asking.way_of(app, [Answerer(left), Answerer(right)])
    except WorkbenchError as error:
        return text(str(error))
    return text(way.words) if way.id != "batch" else Html("")


def who_choices() -> list[tuple[str, str]]:
    """The base model, every run that has an adapter, and every checkpoint that a run keeps."""
    return [("base model, no adapter", BASE_CHOICE), *[(one.label, one.name) for one in offered()]]


def newest_adapter() -> str:
    """The newest run that has an adapter; the base model where there is none."""
    return next((run.name for run in readable_runs() if run.has_adapter), BASE_CHOICE)


def _side(side: str, name: str) -> SideChoice:
    with gr.Column(min_width=280):
        who = open_dropdown(who_choices(), value=name, label=side.title(), elem_id=f"wb-compare-{side}")
        strength = gr.Slider(
            0, STRONGEST, 1.0, step=0.05, label="Strength of the adapter", visible=bool(name),
            info="0 is the base model, 1 the run as trained. Below 1 acts like a higher beta, above 1 goes further the same way.",
            elem_id=f"wb-compare-{side}-strength",
        )  # fmt: skip
    return SideChoice(who, strength)


def _number(name: str) -> gr.Number:
    field = Sampling.model_fields[name]
    whole = field.annotation is int
    return gr.Number(
        value=field.default,
        label=field.title,
        info=field.description,
        precision=0 if whole else None,
        elem_id=f"wb-sampling-{name}",
    )
