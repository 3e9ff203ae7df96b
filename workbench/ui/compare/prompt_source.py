"""Where the prompts come from that both sides are asked at once: held-out ones of a run, a list, a file."""

from pathlib import Path

import gradio as gr

from workbench.core.chat import Answerer
from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.jobs.prompts import pasted_prompts, uploaded_prompts
from workbench.jobs.sittings import prompts_for
from workbench.store.files import ENDINGS
from workbench.ui.updates import LATEST, Updates, shown_if

SOURCES = [("Held-out prompts of the run", "held_out"), ("A list", "list"), ("A file", "file")]
COUNTS = (8, 16, 32)


class PromptSource:
    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-lane-choice"):
            self.source = gr.Radio(
                SOURCES, value="held_out", label="Prompts",
                info="Held-out ones are of the data that the run learned from, and no training saw them.",
                elem_id="wb-many-source",
            )  # fmt: skip
            self.count = gr.Radio(
                [(str(count), count) for count in COUNTS], value=16, label="How many",
                info="Held-out ones are drawn by the seed; of a list or a file it is the first ones.",
                elem_id="wb-many-count",
            )  # fmt: skip
        self.listed = gr.Textbox(
            label="One prompt per line", lines=5, max_lines=12, visible=False, elem_id="wb-many-list"
        )
        self.file = gr.File(
            label="A text with one prompt per line (.txt), or rows with a column of prompts (.jsonl, .csv, ...)",
            file_types=[".txt", *ENDINGS], height=140, visible=False, elem_id="wb-many-file",
        )  # fmt: skip

    @property
    def inputs(self) -> list[gr.Radio | gr.Textbox | gr.File]:
        """The first arguments of `chosen_prompts`."""
        return [self.source, self.count, self.listed, self.file]

    def wire(self) -> None:
        def show(source: str) -> Updates:
            return {self.listed: shown_if(source == "list"), self.file: shown_if(source == "file")}

        self.source.input(show, self.source, [self.listed, self.file], **LATEST)


def chosen_prompts(
    source: str, count: int, listed: str, file: str | None, sides: tuple[Answerer, Answerer], seed: int
) -> list[list[Message]]:
    """The prompts that are chosen on the page. Raises WorkbenchError, in words, where there are none."""
    if source == "list":
        return pasted_prompts(listed)[:count]
    if source == "file":
        if not file:
            raise WorkbenchError("No file is chosen yet. Choose one with prompts in it.")
        return uploaded_prompts(file, Path(file).name, count)
    return prompts_for("measure", sides, count, seed)
