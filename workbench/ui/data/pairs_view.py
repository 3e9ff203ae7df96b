"""The view of the Data page that makes pairs: a model answers prompts several times, a reward model takes the best and the worst."""

import threading
from collections.abc import Iterator
from functools import partial

import gradio as gr

from workbench.core.chat import Answerer
from workbench.core.names import to_name
from workbench.core.training.config import checked
from workbench.core.training.methods import DATA_KINDS
from workbench.jobs import lanes
from workbench.jobs.app_state import AppState
from workbench.jobs.best_of import PairSettings, PairsWanted, make_pairs
from workbench.store import datasets
from workbench.store.answerers import offered
from workbench.store.datasets import About
from workbench.store.reward_models import reward_models
from workbench.ui.data import display
from workbench.ui.data.seen import Shown, about_of
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import empty, join, notice, text
from workbench.ui.updates import EACH, LATEST, QUIET, Updates, shown_if, there_while
from workbench.ui.working import WorkView, cancel_button

BASE = ""

READING = (
    "The chosen answer is the best of several by the reward model, the rejected one the worst. DPO on such pairs moves a model towards "
    "what the reward model likes, without online RL. It is no better than its judge: what that is blind to, such as facts, the pairs "
    "do not teach, and what it likes for the wrong reason, such as length, they do. Look at some under Rows, and see Check."
)


class PairsView:
    """what: the form, there once there is a reward model."""

    def __init__(self) -> None:
        self.nothing = gr.HTML(
            empty(
                "No reward model yet",
                "Train one on the Train page: the method Reward model learns from pairs which of two answers is better. It can then "
                "judge the answers of any run, and make pairs of them here.",
            ),
            elem_id="wb-pairs-nothing",
        )
        with gr.Row(elem_classes="wb-two", visible=False) as self.what:
            with gr.Column():
                self.prompts_of = gr.HTML(elem_id="wb-pairs-prompts-of")
                with gr.Row(elem_classes="wb-lane-choice"):
                    self.answerer = open_dropdown([], value=BASE, label="Answered by", elem_id="wb-pairs-answerer")
                    self.reward = open_dropdown([], label="Reward model", elem_id="wb-pairs-reward")
                with gr.Row():
                    self.numbers = {name: _number(name) for name in ("prompts", "answers", "least_gap")}
                with gr.Accordion("Sampling", open=False), gr.Row():
                    self.numbers |= {name: _number(name) for name in ("temperature", "max_new_tokens", "seed")}
                self.name = gr.Textbox(label="Name of the new dataset", max_lines=1, elem_id="wb-pairs-name")
                with gr.Row(elem_classes="wb-actions"):
                    self.make = gr.Button("Make pairs", variant="primary", elem_id="wb-pairs-make")
                    self.keep = gr.Button("Stop and keep", visible="hidden", elem_id="wb-pairs-keep")
                    cancel = cancel_button()
                self.work = WorkView(gr.HTML(elem_id="wb-pairs-working"), cancel)
            with gr.Column():
                self.said = gr.HTML(text(READING), elem_id="wb-pairs-said")
        self._stops: dict[str, threading.Event] = {}  # of each browser tab that makes pairs

    def wire(self, shown: Shown, opened: gr.Tab, app: AppState) -> None:
        """opened: the tab of the page."""

        def choose(seen: str, answerer: str | None, reward: str | None) -> Updates:
            about = about_of(seen)
            name = datasets.free_name(to_name(f"{about.name}-best-of")[:56])
            return {**self.updates(about, answerer or BASE, reward or ""), self.name: name}

        def enter(seen: str, answerer: str | None, reward: str | None) -> Updates:
            return self.updates(about_of(seen), answerer or BASE, reward or "")

        def make(
            seen: str, answerer: str, reward: str, name: str, request: gr.Request, *numbers: float | None
        ) -> Iterator[Updates]:
            yield from self.made(app, shown, request, wanted_pairs(about_of(seen), answerer, reward, name, numbers))

        def keep(request: gr.Request) -> None:
            if stop := self._stops.get(str(request.session_hash)):
                stop.set()
                lanes.stop(app)

        chosen = [shown.seen, self.answerer, self.reward]
        offered_now = [self.nothing, self.what, self.prompts_of, self.answerer, self.reward]
        shown.seen.change(choose, chosen, [*offered_now, self.name], **LATEST)
        opened.select(enter, chosen, offered_now, **EACH)
        self.make.click(
            make,
            [shown.seen, self.answerer, self.reward, self.name, *self.numbers.values()],
            [*self.work.outputs, self.keep, self.said, *shown.outputs],
            **QUIET,
        )
        self.keep.click(keep, None, None, **QUIET, queue=False)
        self.work.cancel.click(keep, None, None, **QUIET, queue=False)  # so that it need not wait for whole answers
        self.work.wire(app)

    def updates(self, about: About, answerer: str, reward: str) -> Updates:
        """What can be chosen now; a choice that is gone falls back to the first one."""
        judges = [(one.label, one.name) for one in reward_models()]
        who = [("base model, no adapter", BASE), *[(one.label, one.name) for one in offered()]]
        words = f"Prompts of {about.title}: the training side, {about.train_rows:,} {DATA_KINDS[about.kind].noun}."
        names = [name for _, name in judges]
        return {
            self.nothing: shown_if(not judges),
            self.what: shown_if(bool(judges)),
            self.prompts_of: text(words),
            self.answerer: gr.update(choices=who, value=answerer if answerer in [name for _, name in who] else BASE),
            self.reward: gr.update(choices=judges, value=reward if reward in names else names[0] if names else None),
        }

    def made(self, app: AppState, shown: Shown, request: gr.Request, wanted: PairsWanted) -> Iterator[Updates]:
        """Progress while the pairs are made, and at the end the new dataset."""
        session, stop = str(request.session_hash), threading.Event()
        self._stops[session] = stop
        yield {self.keep: there_while(True)}
        try:
            task = partial(make_pairs, app, wanted, stop=stop)
            made = yield from self.work.during(app, request, task, f"Making the pairs {wanted.name}")
        except Exception:
            yield {self.keep: there_while(False)}
            raise
        finally:
            self._stops.pop(session, None)
        first = datasets.row(made.about.name, 0)
        said = notice(
            "good", f"Stored as {made.about.name}", made.words, "Look at them under Check and Rows, then train on them."
        )
        yield {
            self.keep: there_while(False),
            self.said: join(said, display.row_html(first), text(READING)),
            **self.work.over(),
            **shown.now(made.about.name),
        }


def wanted_pairs(about: About, answerer: str, reward: str, name: str, numbers: tuple[float | None, ...]) -> PairsWanted:
    """What is chosen on the page. Raises WorkbenchError where a number is none that can be worked with."""
    named = zip(NUMBERS, numbers, strict=True)
    settings = checked(PairSettings, {field: value for field, value in named if value is not None})
    return PairsWanted(about.name, Answerer(answerer), reward, name.strip(), settings)


NUMBERS = ("prompts", "answers", "least_gap", "temperature", "max_new_tokens", "seed")
"""Settings of `PairSettings` in the order of the form."""


def _number(name: str) -> gr.Number:
    field = PairSettings.model_fields[name]
    return gr.Number(
        value=field.default, label=field.title, info=field.description,
        precision=0 if field.annotation is int else None, elem_id=f"wb-pairs-{name.replace('_', '-')}",
    )  # fmt: skip
