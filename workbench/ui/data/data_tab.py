"""Page 2: which preferences? The frame around its views: which dataset, what it is worth, where to go on."""

from __future__ import annotations

import gradio as gr

from workbench.core.training.config import RunConfig
from workbench.core.training.methods import DATA_KINDS
from workbench.jobs.app_state import AppState
from workbench.store import choices, datasets
from workbench.ui.data import display
from workbench.ui.data.bring_view import BringView
from workbench.ui.data.doctor_view import DoctorView
from workbench.ui.data.export_view import OutView
from workbench.ui.data.lengths_view import LengthsView
from workbench.ui.data.pairs_view import PairsView
from workbench.ui.data.rows_view import RowsView
from workbench.ui.data.seen import DEMO, Shown, about_of, go_to_view, report_of, seen_of
from workbench.ui.data.seen import choices as dataset_choices
from workbench.ui.data.write_view import WriteView
from workbench.ui.frame import Frame, go_to
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import page_head
from workbench.ui.updates import LATEST, Updates


class DataTab:
    def __init__(self) -> None:
        gr.HTML(
            page_head(
                "Which preferences?",
                "A preference is a prompt with two answers: the chosen one is better, the rejected one worse. Alignment learns the difference.",
            )
        )
        with gr.Row(elem_classes="wb-choose"):
            dataset = open_dropdown(
                dataset_choices(), value=DEMO, label="Dataset", info="The demo sets, and all that you stored.", scale=3,
                elem_id="wb-data-dataset",
            )  # fmt: skip
            self.bring_other = gr.Button("Bring other data", scale=1, elem_id="wb-data-bring")
            self.use = gr.Button("Use this data → Train", variant="primary", scale=1, elem_id="wb-data-use")
        self.line = gr.HTML(elem_id="wb-data-line")
        self.untold = gr.HTML(elem_id="wb-data-untold")
        with gr.Tabs(
            selected="check", elem_id="wb-data-views", elem_classes="wb-views", overflow_behavior="wrap"
        ) as views:
            with gr.Tab("Check", id="check"):
                self.doctor = DoctorView()
            with gr.Tab("Rows", id="rows"):
                self.rows = RowsView()
            with gr.Tab("Lengths", id="lengths"):
                self.lengths = LengthsView()
            with gr.Tab("Write pairs", id="write"):
                self.write = WriteView()
            with gr.Tab("Make pairs", id="pairs"):
                self.pairs = PairsView()
            with gr.Tab("Split and export", id="out"):
                self.out = OutView()
            with gr.Tab("Bring data", id="bring"):
                self.bring = BringView()
        self.shown = Shown(dataset, gr.State(""), gr.State(RunConfig.model_fields["max_length"].default), views)

    def wire(self, frame: Frame, app: AppState) -> None:
        shown = self.shown

        def choose(name: str | None) -> str:
            return seen_of(name or DEMO)

        def enter(seen: str) -> Updates:
            """The page is opened: the dataset that was looked at last, as it is now; the demo's where it is gone."""
            name = seen.split("@")[0] or choices.read().dataset
            return shown.now(name if name and name in {one.name for one in datasets.all_abouts()} else DEMO)

        def use(seen: str) -> gr.Tabs:
            about = about_of(seen)
            choices.update(**{DATA_KINDS[about.kind].setting: about.name})
            return go_to("train")

        def line(seen: str) -> str:
            about = about_of(seen)
            choices.update(dataset=about.name)
            return display.line_html(about, report_of(about))

        shown.dataset.input(choose, shown.dataset, shown.seen, **LATEST)
        shown.seen.change(line, shown.seen, self.line, **LATEST)
        self.bring_other.click(lambda: go_to_view("bring"), None, shown.views, **LATEST)
        self.use.click(use, shown.seen, frame.tabs, **LATEST)
        frame.opened["data"].select(enter, shown.seen, shown.outputs, **LATEST)
        for checked in self.doctor.wire(shown, self.rows.list.check, frame.opened["data"], app):
            checked.then(line, shown.seen, self.line, **LATEST)
        self.rows.wire(shown, app)
        self.lengths.wire(shown, self.rows.one.length, app)
        self.write.wire(shown, app)
        self.pairs.wire(shown, frame.opened["data"], app)
        self.out.wire(shown, app)
        self.bring.wire(shown, app)
