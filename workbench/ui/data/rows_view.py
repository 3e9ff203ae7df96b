"""The view of the Data page with the rows themselves: find one, look at it, change it or take it out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.core.data.messages import Row
from workbench.core.errors import WorkbenchError
from workbench.core.masking import masked
from workbench.jobs.app_state import AppState
from workbench.store import choices, datasets
from workbench.store.datasets import About
from workbench.ui import token_view
from workbench.ui.border import border
from workbench.ui.data import display
from workbench.ui.data.seen import Shown, about_of, about_to_change, is_own, now, report_of
from workbench.ui.parts import Html, text

PAGE = 20
ALL = ""
SIDES = [("All rows", ALL), ("Training", "train"), ("Held out", "held_out")]
LOOKS = [("As a conversation", "conversation"), ("As the model gets it", "tokens")]
EDITED = {"question": "Prompt (last message)", "chosen": "Chosen (better)", "rejected": "Rejected (worse)"}


@dataclass(frozen=True)
class RowsView:
    words: gr.Textbox
    side: gr.Radio
    check: gr.Dropdown
    found: gr.HTML
    rows: gr.Dataframe
    start: gr.State
    earlier: gr.Button
    later: gr.Button
    number: gr.Number
    look: gr.Radio
    length: gr.Number
    row: gr.HTML
    editing: gr.Accordion
    edited: dict[str, gr.Textbox]
    save: gr.Button
    delete: gr.Button
    undo: gr.Button
    left_out: gr.HTML


def draw() -> RowsView:
    with gr.Row(elem_classes="wb-two"):
        with gr.Column():
            words = gr.Textbox(
                label="Search", placeholder="words in a prompt or an answer", max_lines=1, elem_id="wb-rows-search"
            )
            side = gr.Radio(SIDES, value=ALL, label="Side", elem_id="wb-rows-side")
            check = gr.Dropdown([("Any", ALL)], value=ALL, label="With a finding", elem_id="wb-rows-check")
            found = gr.HTML(elem_id="wb-rows-found")
            rows = gr.Dataframe(
                headers=["#", "prompt", "answers"], datatype="str", interactive=False, show_label=False, wrap=True, max_chars=240,
                column_widths=["12%", "38%", "50%"], max_height=460, elem_id="wb-rows-table", buttons=[],
            )  # fmt: skip
            with gr.Row(elem_classes="wb-actions"):
                earlier = gr.Button("‹ Earlier rows", size="sm", elem_id="wb-rows-earlier")
                later = gr.Button("Later rows ›", size="sm", elem_id="wb-rows-later")
            with gr.Accordion("Rows of the source that were left out", open=False):
                left_out = gr.HTML(elem_id="wb-rows-left-out")
        with gr.Column():
            with gr.Row():
                number = gr.Number(1, label="Row", precision=0, minimum=1, elem_id="wb-data-row-number", scale=1)
                look = gr.Radio(LOOKS, value="conversation", label="Shown", elem_id="wb-rows-look", scale=2)
            length = gr.Number(
                1024, label="Max length (tokens)", info="Where training would cut. Settings of a run have it as max_length.",
                precision=0, minimum=8, visible=False, elem_id="wb-rows-length",
            )  # fmt: skip
            row = gr.HTML(elem_id="wb-data-row")
            with gr.Accordion("Change this row", open=False, elem_id="wb-rows-editing") as editing:
                edited = {
                    part: gr.Textbox(label=label, lines=3, max_lines=14, elem_id=f"wb-rows-edit-{part}")
                    for part, label in EDITED.items()
                }
                with gr.Row(elem_classes="wb-actions"):
                    save = gr.Button("Save the change", variant="primary", size="sm", elem_id="wb-rows-save")
                    delete = gr.Button("Delete row", size="sm", elem_id="wb-rows-delete")
                    undo = gr.Button("Undo the last change", size="sm", elem_id="wb-rows-undo")
    return RowsView(
        words, side, check, found, rows, gr.State(0), earlier, later, number, look, length, row, editing, edited, save, delete, undo, left_out,
    )  # fmt: skip


def wire(view: RowsView, shown: Shown, app: AppState) -> None:
    fields = list(view.edited.values())
    filters = [view.words, view.side, view.check]
    listed = [view.rows, view.found, view.start]
    row = [view.number, view.row, view.editing, *fields]
    looked = [view.number, view.look, view.length]
    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}

    @border
    def show(
        seen: str,
        words: str,
        side: str | None,
        check: str | None,
        start: int,
        number: float | None,
        look: str,
        length: float | None,
    ) -> list[Any]:
        """A dataset that was chosen or changed: its list, from where it stood, and the row that was looked at."""
        about = about_of(seen)
        options = check_options(about)
        check = check if check in [value for _, value in options] else ALL
        start = start if start < about.kept else 0
        return [
            gr.Dropdown(options, value=check),
            *list_updates(about, words, side, check, start),
            *row_updates(app, about, number, look, length),
            display.left_out_rows_html(datasets.left_out_examples(about.name)),
        ]

    @border
    def search(seen: str, words: str, side: str | None, check: str | None) -> list[Any]:
        return list_updates(about_of(seen), words, side, check, 0)

    def turn(by: int) -> Any:
        @border
        def page(seen: str, words: str, side: str | None, check: str | None, start: int) -> list[Any]:
            return list_updates(about_of(seen), words, side, check, max(0, start + by))

        return page

    @border
    def pick(seen: str, look: str, length: float | None, event: gr.SelectData) -> list[Any]:
        return row_updates(app, about_of(seen), _chosen_row(event), look, length)

    @border
    def show_row(seen: str, number: float | None, look: str, length: float | None) -> list[Any]:
        _, *updates = row_updates(app, about_of(seen), number, look, length)
        return [gr.Number(visible=look == "tokens"), *updates]

    @border
    def save(seen: str, number: float, *values: str) -> list[Any]:
        about = about_to_change(seen)
        before = datasets.row(about.name, int(number) - 1)
        return now(datasets.edit_row(about.name, int(number) - 1, edited_row(before, values)).name)

    @border
    def delete(seen: str, number: float) -> list[Any]:
        about = about_to_change(seen)
        return now(datasets.delete_rows(about.name, [int(number) - 1]).name)

    @border
    def undo(seen: str) -> list[Any]:
        return now(datasets.undo(about_to_change(seen).name).name)

    shown.seen.change(
        show, [shown.seen, *filters, view.start, *looked], [view.check, *listed, *row, view.left_out], **quiet
    )
    for field in filters:
        field.change(search, [shown.seen, *filters], listed, **quiet)
    view.earlier.click(turn(-PAGE), [shown.seen, *filters, view.start], listed, **quiet)
    view.later.click(turn(PAGE), [shown.seen, *filters, view.start], listed, **quiet)
    view.rows.select(pick, [shown.seen, view.look, view.length], row, **quiet)
    for field in looked:
        field.input(show_row, [shown.seen, *looked], [view.length, *row[1:]], **quiet)
    view.save.click(save, [shown.seen, view.number, *fields], shown.outputs, show_progress_on=view.save)
    view.delete.click(delete, [shown.seen, view.number], shown.outputs, show_progress_on=view.delete)
    view.undo.click(undo, shown.seen, shown.outputs, **quiet)


def _chosen_row(event: gr.SelectData) -> float:
    """The number of the row that was clicked, from its first cell. It comes from a browser, so it can be anything."""
    cells = event.row_value
    if isinstance(cells, list) and cells and re.fullmatch(r"[0-9]{1,12}", str(cells[0])):
        return float(cells[0])
    raise WorkbenchError("The click names no row of the list. Click one of its rows.")


def list_updates(about: About, words: str | None, side: str | None, check: str | None, start: int) -> list[Any]:
    """A page of the rows that fit the filters; the last one where there are fewer. start: how many come before it.

    A filter that was never drawn, because the view was not opened yet, is None.
    """
    wanted: dict[str, Any] = {"text": (words or "").strip(), "check": check or None, "split": side or None}
    found, total = datasets.search(about.name, **wanted, start=start, limit=PAGE)
    if start and start >= total:
        start = max(0, (total - 1) // PAGE * PAGE)
        found, total = datasets.search(about.name, **wanted, start=start, limit=PAGE)
    table = [[str(number + 1), _last(row["prompt"], 140), _answers(row)] for number, row in found]
    return [table, text(_found_summary(start, len(found), total)), start]


def row_updates(app: AppState, about: About, number: float | None, look: str, length: float | None) -> list[Any]:
    """One row, and its fields for a change. number: from 1; one outside is taken as the nearest there is."""
    wanted = min(max(1, int(number or 1)), max(1, about.kept))
    row = datasets.row(about.name, wanted - 1)
    shown = _tokens(app, row, int(length or 1024)) if look == "tokens" else display.row_html(row)
    texts = [
        row["prompt"][-1]["content"],
        *[row[part][-1]["content"] if part in row else "" for part in ("chosen", "rejected")],
    ]
    pair = "chosen" in row
    if not pair:
        texts[1] = row["completion"][-1]["content"]
    side = "held out" if wanted > about.train_rows else "training"
    return [
        gr.Number(value=wanted, info=f"1 to {about.kept:,}; this one is {side}"),
        shown,
        gr.Accordion(visible=is_own(about.name)),
        gr.Textbox(texts[0]),
        gr.Textbox(texts[1], label=EDITED["chosen"] if pair else "Answer"),
        gr.Textbox(texts[2], visible=pair),
    ]


def edited_row(before: Row, values: tuple[str, ...]) -> Row:
    """A row with other words in its last question and its answers. Earlier turns stay."""
    question, chosen, rejected = values
    after = dict(before)
    after["prompt"] = [*before["prompt"][:-1], {**before["prompt"][-1], "content": question.strip()}]
    answers = {"chosen": chosen, "rejected": rejected} if "chosen" in before else {"completion": chosen}
    for part, answer in answers.items():
        after[part] = [*before[part][:-1], {**before[part][-1], "content": answer.strip()}]
    return after


def check_options(about: About) -> list[tuple[str, str]]:
    """The findings by which rows can be filtered."""
    report = report_of(about)
    found = report.findings if report else ()
    return [("Any", ALL), *[(f"{one.title} · {len(one.rows):,}", one.check) for one in found if one.rows]]


def _tokens(app: AppState, row: Row, length: int) -> Html:
    return token_view.view_html(app.tokens.view(choices.read().model, row, length))


def _found_summary(start: int, shown: int, total: int) -> str:
    if not total:
        return "No row fits. Change the words or the filters."
    return f"{start + 1:,} to {start + shown:,} of {total:,} rows. Click one to look at it."


def _last(messages: list[dict[str, str]], most: int) -> str:
    """The beginning of the last message, in one line."""
    words = masked(" ".join(messages[-1]["content"][: 4 * most].split()))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _answers(row: Row) -> str:
    """The beginnings of the answers, each with its mark; a list must show both."""
    if "chosen" in row:
        return f"✓ {_last(row['chosen'], 70)}\n✗ {_last(row['rejected'], 70)}"
    mark = {True: "✓ ", False: "✗ "}.get(row.get("label", None), "")
    return mark + _last(row["completion"], 140)
