"""How the rows of a source are read, on the Data page: as recognised, or as a person says."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from pydantic_core import to_jsonable_python

from workbench.core.data.formats import AS_RECOGNISED, FORMATS, Columns, ReadOptions
from workbench.core.errors import WorkbenchError
from workbench.core.masking import masked
from workbench.jobs import preparing
from workbench.store.datasets import Preview
from workbench.store.sources import Source
from workbench.ui.data import display
from workbench.ui.data.bring_source import SourceView
from workbench.ui.updates import LATEST, Updates

PARTS_TO_MAP = {
    "prompt": "Prompt",
    "chosen": "Chosen (better) answer",
    "rejected": "Rejected (worse) answer",
    "completion": "One answer (SFT, or with a thumb)",
    "label": "Thumb of that answer (up or down)",
    "messages": "Whole conversation (SFT)",
    "system": "System prompt",
    "input": "Text below the prompt",
    "history": "Turns before the prompt",
}
ANSWERS_TO_ASKED = (
    ("It goes below the prompt", "input"),
    ("It is the system message", "system"),
    ("It holds the turns before the prompt", "history"),
    ("It is not to be used", "ignore"),
)
NO_COLUMN = "(none)"
AS_SEEN = ""


class ReadingView:
    """asked: about a column that may belong to the prompt. option: the choice that a format leaves. columns: by part."""

    def __init__(self) -> None:
        self.asked = gr.Radio([], label="", visible=False, elem_id="wb-data-asked")
        self.option = gr.Radio([], label="A choice that this format leaves", visible=False, elem_id="wb-data-option")
        with gr.Accordion("Not right? Say what it is", open=False, elem_id="wb-data-mapping") as self.override:
            self.format = gr.Dropdown(
                [("As recognised", AS_SEEN), *[(one.title, one.id) for one in FORMATS]], value=AS_SEEN, label="Format",
                elem_id="wb-data-format",
            )  # fmt: skip
            self.columns = {
                part: gr.Dropdown(
                    [NO_COLUMN], value=NO_COLUMN, label=label, interactive=True, elem_id=f"wb-column-{part}"
                )
                for part, label in PARTS_TO_MAP.items()
            }
            self.ignore = gr.Dropdown([], value=[], multiselect=True, label="Not to be used", elem_id="wb-data-ignore")

    @property
    def what(self) -> dict[str, Component]:
        """The fields by which a person says how to read, by name."""
        return {"format": self.format, "option": self.option, "ignore": self.ignore, **self.columns}

    @property
    def all(self) -> list[Block]:
        return [self.asked, self.override, *self.what.values()]

    def how(self, values: Sequence[Any]) -> ReadOptions:
        """What the values of `what` say."""
        said = dict(zip(self.what, values, strict=True))
        mapping = mapping_of({part: said[part] for part in PARTS_TO_MAP})
        return ReadOptions(mapping, said["format"] or None, said["option"] or None, tuple(said["ignore"] or ()))

    def wire(self, source: SourceView, meaning: gr.HTML) -> None:
        """meaning: shows the preview."""
        columns, where, what = list(self.columns.values()), list(source.where.values()), list(self.what.values())

        def look_again(*values: Any) -> Updates:
            """The preview after something was said by hand: what is missing in a mapping is said, and is no error yet."""
            chosen = source.source(values[: len(where)])
            if chosen is None:
                return {}
            how = self.how(values[len(where) :])
            try:
                preview = preview_of(chosen, how)
            except WorkbenchError as error:
                if not how.mapping:
                    raise
                return {meaning: display.unfinished_html(error.problems, preview_of(chosen, AS_RECOGNISED))}
            return {meaning: display.preview_html(preview), **self.left_open(preview)}

        def answer(said: str, ignore: list[str] | None, *chosen: str) -> Updates:
            """What a person says of a column that may belong to the prompt, as the fields for it hold it."""
            part, column = said.split(":", 1)
            if part == "ignore":
                return {self.ignore: [*(ignore or ()), column]}
            taken = dict(zip(self.columns, chosen, strict=True))[part]
            if taken not in (NO_COLUMN, column):
                raise WorkbenchError(
                    f"{PARTS_TO_MAP[part]} is {taken} already. Choose another answer, or put both texts into one column."
                )
            return {self.columns[part]: column}

        said = [meaning, self.option, self.asked]
        for field in what:
            field.input(look_again, [*where, *what], said, **LATEST)
        self.asked.input(answer, [self.asked, self.ignore, *columns], [self.ignore, *columns], **LATEST).then(
            look_again, [*where, *what], said, **LATEST
        )

    def fresh(self, preview: Preview | None) -> Updates:
        """A source that was chosen just now: nothing is said by hand yet, and the columns are offered that there are.

        The mapping opens where they are not known. preview: None where nothing is chosen.
        """
        there = list(preview.columns) if preview else []
        return {
            self.override: gr.Accordion(open=preview is not None and preview.recognised is None),
            self.format: gr.Dropdown(value=AS_SEEN),
            self.ignore: gr.Dropdown(there, value=[]),
            **{field: gr.Dropdown([NO_COLUMN, *there], value=NO_COLUMN) for field in self.columns.values()},
            **self.left_open(preview),
        }

    def left_open(self, preview: Preview | None) -> Updates:
        """What only a person can say: a choice that the format leaves, and the first column that may belong to the prompt.

        The next such column follows the answer.
        """
        known = preview.recognised if preview else None
        nothing = gr.Radio([], value=None, visible=False)
        updates: Updates = {self.asked: nothing, self.option: nothing}
        if known and known.asked:
            column = known.asked[0]
            answers = [(words, f"{part}:{column}") for words, part in ANSWERS_TO_ASKED]
            label = f"Does the column {column} belong to the prompt?"
            updates[self.asked] = gr.Radio(answers, value=None, label=label, visible=True)
        if known and known.options:
            options = [(one.words, one.id) for one in known.options]
            updates[self.option] = gr.Radio(options, value=known.option or None, visible=True)
        return updates


def preview_of(source: Source, how: ReadOptions) -> Preview:
    """A look at the first rows, in a process of its own: a hostile file cannot take the window down."""
    answer = preparing.run(
        {"do": "preview", "source": source.model_dump(mode="json"), "options": to_jsonable_python(how)}
    )
    preview = Preview.model_validate(answer)
    if any(masked(column) != column for column in preview.columns):
        raise WorkbenchError(
            "What stands where the names of columns are expected looks like an access token. Is it the right file?"
        )
    return preview


def mapping_of(chosen: Mapping[str, str | None]) -> Columns | None:
    """The columns as they were mapped by hand, by part; None where none was."""
    named = {part: column for part, column in chosen.items() if column and column != NO_COLUMN}
    return Columns(**named) if named else None
