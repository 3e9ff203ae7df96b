"""The view of the Data page for pairs written by hand, with the loaded model offering drafts."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from workbench.core.chat import Ask, Sampling
from workbench.core.data.messages import Row
from workbench.core.errors import WorkbenchError
from workbench.jobs.app_state import AppState
from workbench.jobs.lanes import ensure_loaded
from workbench.store import datasets
from workbench.ui.data import display
from workbench.ui.data.seen import Shown, is_own
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import empty, join, notice
from workbench.ui.updates import LATEST, QUIET, Updates, shown_if

NEW = ""

# Two drafts are only worth comparing when they differ: the second is drawn with other dice, and more boldly.
DRAFTS = (Sampling(temperature=0.7, seed=17), Sampling(temperature=1.1, seed=18))


class WriteView:
    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-two"):
            with gr.Column():
                with gr.Row():
                    self.target = open_dropdown(
                        [("A new dataset", NEW)], value=NEW, label="Goes to", elem_id="wb-write-target"
                    )
                    self.name = gr.Textbox(
                        "my-pairs", label="Name of the new dataset", max_lines=1, elem_id="wb-write-name"
                    )
                self.prompt = gr.Textbox(
                    label="Prompt", info="What a person would ask.", lines=3, max_lines=12, elem_id="wb-write-prompt"
                )
                with gr.Row(elem_classes="wb-actions"):
                    self.draft = gr.Button("Let the model draft both answers", size="sm", elem_id="wb-write-draft")
                    self.swap = gr.Button("Swap the two", size="sm", elem_id="wb-write-swap")
                self.chosen = gr.Textbox(
                    label="Better answer (chosen)", lines=4, max_lines=14, elem_id="wb-write-chosen"
                )
                self.rejected = gr.Textbox(
                    label="Worse answer (rejected)", lines=4, max_lines=14, elem_id="wb-write-rejected"
                )
                with gr.Accordion("System prompt", open=False):
                    self.system = gr.Textbox(
                        "", label="System prompt", info="Empty: none.", lines=2, elem_id="wb-write-system"
                    )
                with gr.Row(elem_classes="wb-actions"):
                    self.add = gr.Button("Add this pair", variant="primary", elem_id="wb-write-add")
                    self.undo = gr.Button("Undo the last change", elem_id="wb-write-undo", visible=False)
            with gr.Column():
                self.said = gr.HTML(_nothing_yet(), elem_id="wb-write-said")

    def wire(self, shown: Shown, app: AppState) -> None:
        def enter(target: str | None) -> Updates:
            options = targets()
            target = target if target in [value for _, value in options] else NEW
            return {self.target: gr.Dropdown(options, value=target), self.name: shown_if(target == NEW)}

        def add(target: str, name: str, prompt: str, chosen: str, rejected: str, system: str | None) -> Updates:
            row = pair_of(prompt, chosen, rejected, system)
            about = datasets.add_row(target, row) if target else datasets.create_by_hand(name.strip(), [row])
            said = notice(
                "good",
                f"Added to {about.title}",
                f"It has {pairs(about.kept)} now.",
                "Write the next one, or continue to Check.",
            )
            return {
                **shown.now(about.name),
                self.target: gr.Dropdown(targets(), value=about.name),
                self.name: shown_if(False),
                **dict.fromkeys([self.prompt, self.chosen, self.rejected], ""),
                self.said: join(said, display.row_html(row)),
                self.undo: shown_if(about.parent is not None),
            }

        def undo(target: str) -> Updates:
            about = datasets.undo(target)
            said = notice("good", f"Undone in {about.title}", f"It has {pairs(about.kept)} again.")
            return {**shown.now(about.name), self.said: said, self.undo: shown_if(about.parent is not None)}

        shown.seen.change(enter, self.target, [self.target, self.name], **LATEST)
        self.target.input(lambda target: shown_if(target == NEW), self.target, self.name, **LATEST)
        self.add.click(
            add,
            [self.target, self.name, self.prompt, self.chosen, self.rejected, self.system],
            [*shown.outputs, self.target, self.name, self.prompt, self.chosen, self.rejected, self.said, self.undo],
            show_progress_on=self.add,
        )
        self.undo.click(undo, self.target, [*shown.outputs, self.said, self.undo], **LATEST)
        self._wire_drafts(app)

    def _wire_drafts(self, app: AppState) -> None:
        answers = [self.chosen, self.rejected]

        def draft(prompt: str, system: str | None) -> Iterator[Updates]:
            """Both answers from the loaded model, one after the other, as they grow."""
            asked = prompt_of(prompt, system)
            if not asked[-1]["content"]:
                raise WorkbenchError(
                    "There is no prompt yet. Write what a person would ask, then let the model answer."
                )
            for words in ensure_loaded(app, "", ""):
                yield {self.said: notice("info", words)}
            advice = "Edit them, or swap them, so that the better one is on top."
            yield {**dict.fromkeys(answers, ""), self.said: notice("info", "The model is drafting two answers", advice)}
            for answer, sampling in zip(answers, DRAFTS, strict=True):
                for given in app.chat.ask(Ask(asked), None, sampling):
                    yield {answer: given.left.text.strip()}

        self.draft.click(draft, [self.prompt, self.system], [*answers, self.said], **QUIET)
        self.swap.click(lambda one, other: {self.chosen: other, self.rejected: one}, answers, answers, **LATEST)


def pairs(count: int) -> str:
    return f"{count:,} pair{'' if count == 1 else 's'}"


def targets() -> list[tuple[str, str]]:
    """Where a pair can go: a new dataset, or one of the person's own."""
    own = [(one.title, one.name) for one in datasets.all_abouts() if one.kind == "preference" and is_own(one.name)]
    return [("A new dataset", NEW), *own]


def pair_of(prompt: str, chosen: str, rejected: str, system: str | None) -> Row:
    return {
        "prompt": prompt_of(prompt, system),
        "chosen": [{"role": "assistant", "content": chosen.strip()}],
        "rejected": [{"role": "assistant", "content": rejected.strip()}],
    }


def prompt_of(prompt: str, system: str | None) -> list[Any]:
    said = (system or "").strip()
    return [
        *([{"role": "system", "content": said}] if said else []),
        {"role": "user", "content": (prompt or "").strip()},
    ]


def _nothing_yet() -> Any:
    return empty(
        "Your taste, in your own words",
        "A few dozen pairs that say what you like are worth more than thousands that do not. Write a prompt, the answer you "
        "would want and one you would not, and add it. The loaded model can offer drafts.",
    )
