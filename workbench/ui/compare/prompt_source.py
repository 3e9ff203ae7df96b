"""Where the prompts come from that are asked many at once: data of a run, a list, a file."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from workbench.core.chat import Answerer
from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.votes.vote import Purpose
from workbench.jobs.prompts import pasted_prompts, uploaded_prompts
from workbench.jobs.sittings import prompts_for
from workbench.store.files import ENDINGS
from workbench.ui.updates import LATEST, Updates, shown_if

DATA, LIST, FILE = "data", "list", "file"


class PromptSource:
    """name: begins the ids of its fields. data: what the prompts of a run's data are called; info: what is said of them.

    offered: whether there is a choice from the beginning.
    """

    def __init__(
        self, name: str, data: str, info: str, counts: Sequence[int], count: int, offered: bool = True
    ) -> None:
        with gr.Row(elem_classes="wb-lane-choice"):
            self.source = gr.Radio(
                [(data, DATA), ("A list", LIST), ("A file", FILE)], value=DATA, label="Prompts", info=info,
                visible=offered, elem_id=f"{name}-source",
            )  # fmt: skip
            self.count = gr.Radio(
                [(str(one), one) for one in counts], value=count, label="How many",
                info="Those of the data are drawn at random; of a list or a file it is the first ones.",
                elem_id=f"{name}-count",
            )  # fmt: skip
        self.listed = gr.Textbox(
            label="One prompt per line", lines=5, max_lines=12, visible=False, elem_id=f"{name}-list"
        )
        self.file = gr.File(
            label="A text with one prompt per line (.txt), or rows with a column of prompts (.jsonl, .csv, ...)",
            file_types=[".txt", *ENDINGS], height=140, visible=False, elem_id=f"{name}-file",
        )  # fmt: skip

    @property
    def inputs(self) -> list[gr.Radio | gr.Textbox | gr.File]:
        """The first arguments of `chosen_prompts`."""
        return [self.source, self.count, self.listed, self.file]

    @property
    def own(self) -> list[gr.Textbox | gr.File]:
        return [self.listed, self.file]

    def wire(self) -> None:
        self.source.input(self.own_shown, self.source, self.own, **LATEST)

    def own_shown(self, source: str) -> Updates:
        """The field for prompts of one's own that a source takes."""
        return {self.listed: shown_if(source == LIST), self.file: shown_if(source == FILE)}


def chosen_prompts(
    source: str,
    count: int,
    listed: str,
    file: str | None,
    sides: Sequence[Answerer],
    seed: int,
    purpose: Purpose = "measure",
) -> list[list[Message]]:
    """The prompts that are chosen on the page. purpose: which of a run's data. Raises WorkbenchError, in words, where there are none."""
    if source == LIST:
        return pasted_prompts(listed)[:count]
    if source == FILE:
        if not file:
            raise WorkbenchError("No file is chosen yet. Choose one with prompts in it.")
        return uploaded_prompts(file, Path(file).name, count)
    return prompts_for(purpose, sides, count, seed)
