"""The view of the Data page with the rows themselves: find one, look at it, change it or take it out."""

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.store import datasets
from workbench.ui.data import display
from workbench.ui.data.row_list import RowList
from workbench.ui.data.row_view import RowView
from workbench.ui.data.seen import Shown, about_of
from workbench.ui.parts import Html
from workbench.ui.updates import LATEST


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
