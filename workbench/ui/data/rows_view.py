"""The view of the Data page with the rows themselves: find one, look at it as a conversation or as the model sees it, change
it or take it out."""

import gradio as gr

from workbench.core.data.messages import Row
from workbench.jobs.app_state import AppState
from workbench.store import choices, datasets
from workbench.store.datasets import About
from workbench.ui import token_view
from workbench.ui.data import display
from workbench.ui.data.row_list import RowList, chosen_row
from workbench.ui.data.seen import Shown, about_of, about_to_change, is_own
from workbench.ui.parts import Html
from workbench.ui.updates import LATEST, Updates, shown_if

LOOKS = [("As a conversation", "conversation"), ("As the model sees it", "tokens")]
EDITED = {"question": "Prompt (last message)", "chosen": "Chosen (better)", "rejected": "Rejected (worse)"}


class RowView:
    def __init__(self) -> None:
        with gr.Row():
            self.number = gr.Number(1, label="Row", precision=0, minimum=1, elem_id="wb-data-row-number", scale=1)
            self.look = gr.Radio(LOOKS, value="conversation", label="Shown", elem_id="wb-rows-look", scale=2)
        self.length = gr.Number(
            1024, label="Max length (tokens)", info="Where training would cut. Settings of a run have it as max_length.",
            precision=0, minimum=8, visible=False, elem_id="wb-rows-length",
        )  # fmt: skip
        self.thinking = gr.Checkbox(
            False, label="Thinking", info="As in the settings of a run. Nothing changes where the chat template has no switch for it.",
            visible=False, elem_id="wb-rows-thinking",
        )  # fmt: skip
        self.row = gr.HTML(elem_id="wb-data-row")
        with gr.Accordion("Change this row", open=False, elem_id="wb-rows-editing") as self.editing:
            self.edited = {
                part: gr.Textbox(label=label, lines=3, max_lines=14, elem_id=f"wb-rows-edit-{part}")
                for part, label in EDITED.items()
            }
            with gr.Row(elem_classes="wb-actions"):
                self.save = gr.Button("Save the change", variant="primary", size="sm", elem_id="wb-rows-save")
                self.delete = gr.Button("Delete row", size="sm", elem_id="wb-rows-delete")
                self.undo = gr.Button("Undo the last change", size="sm", elem_id="wb-rows-undo")

    def wire(self, shown: Shown, rows: gr.Dataframe, app: AppState) -> None:
        """rows: the list in which a click chooses a row."""
        fields = list(self.edited.values())
        changing = [self.number, self.row, self.editing, *fields]
        how = [self.look, self.length, self.thinking]
        looked = [self.number, *how]

        def show(seen: str, number: float | None, look: str, length: float | None, thinking: bool) -> Updates:
            return self.updates(
                app, about_of(seen), number, int(length or 1024) if look == "tokens" else None, thinking
            )

        def look_at(seen: str, number: float | None, look: str, length: float | None, thinking: bool) -> Updates:
            """What a person asks for, who may be typing a number: it is left as it is."""
            of_tokens = dict.fromkeys([self.length, self.thinking], shown_if(look == "tokens"))
            return {**show(seen, number, look, length, thinking), self.number: gr.skip(), **of_tokens}

        def pick(seen: str, look: str, length: float | None, thinking: bool, event: gr.SelectData) -> Updates:
            return show(seen, chosen_row(event), look, length, thinking)

        def save(seen: str, number: float, *values: str) -> Updates:
            about = about_to_change(seen)
            before = datasets.row(about.name, int(number) - 1)
            after = edited_row(before, dict(zip(self.edited, values, strict=True)))
            return shown.now(datasets.edit_row(about.name, int(number) - 1, after).name)

        def delete(seen: str, number: float) -> Updates:
            about = about_to_change(seen)
            return shown.now(datasets.delete_rows(about.name, [int(number) - 1]).name)

        shown.seen.change(show, [shown.seen, *looked], changing, **LATEST)
        rows.select(pick, [shown.seen, *how], changing, **LATEST)
        for field in looked:
            field.input(look_at, [shown.seen, *looked], [self.length, self.thinking, *changing], **LATEST)
        self.save.click(save, [shown.seen, self.number, *fields], shown.outputs, show_progress_on=self.save)
        self.delete.click(delete, [shown.seen, self.number], shown.outputs, show_progress_on=self.delete)
        self.undo.click(shown.undone, shown.seen, shown.outputs, **LATEST)

    def updates(
        self, app: AppState, about: About, number: float | None, max_length: int | None, thinking: bool = False
    ) -> Updates:
        """One row, and its fields for a change. number: from 1; one outside is taken as the nearest there is.

        max_length: shown as the model sees it, cut there; None shows a conversation. thinking: as in a run's settings.
        """
        wanted = min(max(1, int(number or 1)), max(1, about.kept))
        row = datasets.row(about.name, wanted - 1)
        pair = "chosen" in row
        side = "held out" if wanted > about.train_rows else "training"
        answer = row["chosen" if pair else "completion"][-1]["content"]
        return {
            self.number: gr.Number(value=wanted, info=f"1 to {about.kept:,}; this one is {side}"),
            self.row: display.row_html(row) if max_length is None else _tokens(app, row, max_length, thinking),
            self.editing: shown_if(is_own(about.name)),
            self.edited["question"]: row["prompt"][-1]["content"],
            self.edited["chosen"]: gr.Textbox(answer, label=EDITED["chosen"] if pair else "Answer"),
            self.edited["rejected"]: gr.Textbox(row["rejected"][-1]["content"] if pair else "", visible=pair),
        }


class RowsView:
    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-two"):
            with gr.Column():
                self.list = RowList()
                with gr.Accordion("Rows of the source that were left out", open=False):
                    self.left_out = gr.HTML(elem_id="wb-rows-left-out")
            with gr.Column():
                self.one = RowView()

    def wire(self, shown: Shown, app: AppState) -> None:
        def list_left_out(seen: str) -> Html:
            return display.left_out_rows_html(datasets.left_out_examples(about_of(seen).name))

        self.list.wire(shown)
        self.one.wire(shown, self.list.rows, app)
        shown.seen.change(list_left_out, shown.seen, self.left_out, **LATEST)


def edited_row(before: Row, texts: dict[str, str]) -> Row:
    """A row with other words in its last question and its answers. texts: by the names of EDITED. Earlier turns stay."""
    after = dict(before)
    parts = {"prompt": texts["question"]}
    if "chosen" in before:
        parts |= {"chosen": texts["chosen"], "rejected": texts["rejected"]}
    else:
        parts["completion"] = texts["chosen"]
    for part, words in parts.items():
        after[part] = [*before[part][:-1], {**before[part][-1], "content": words.strip()}]
    return after


def _tokens(app: AppState, row: Row, length: int, thinking: bool) -> Html:
    return token_view.view_html(app.tokens.view(choices.read().model, row, length, thinking))
