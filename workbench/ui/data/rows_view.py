"""The view of the Data page with the rows themselves: find one, look at it, change it or take it out."""

from dataclasses import dataclass

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.store import datasets
from workbench.ui.border import border
from workbench.ui.data import display, row_list, row_view
from workbench.ui.data.row_list import RowList
from workbench.ui.data.row_view import RowView
from workbench.ui.data.seen import Shown, about_of
from workbench.ui.parts import Html
from workbench.ui.updates import LATEST


@dataclass(frozen=True)
class RowsView:
    list: RowList
    one: RowView
    left_out: gr.HTML


def draw() -> RowsView:
    with gr.Row(elem_classes="wb-two"):
        with gr.Column():
            rows = row_list.draw()
            with gr.Accordion("Rows of the source that were left out", open=False):
                left_out = gr.HTML(elem_id="wb-rows-left-out")
        with gr.Column():
            one = row_view.draw()
    return RowsView(rows, one, left_out)


def wire(view: RowsView, shown: Shown, app: AppState) -> None:
    @border
    def list_left_out(seen: str) -> Html:
        return display.left_out_rows_html(datasets.left_out_examples(about_of(seen).name))

    row_list.wire(view.list, shown)
    row_view.wire(view.one, shown, view.list.rows, app)
    shown.seen.change(list_left_out, shown.seen, view.left_out, **LATEST)
