"""Page 2: which preferences? The frame around its views: which dataset, what it is worth, where to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.core.config import RunConfig
from workbench.jobs.bench import Bench
from workbench.store import choices, datasets
from workbench.ui import data_bring, data_doctor, data_lengths, data_out, data_rows, data_views, data_write
from workbench.ui.border import border
from workbench.ui.data_bring import BringView
from workbench.ui.data_doctor import DoctorView
from workbench.ui.data_lengths import LengthsView
from workbench.ui.data_out import OutView
from workbench.ui.data_rows import RowsView
from workbench.ui.data_seen import DEMO, Shown, about_of, go_to_view, now, report_of, seen_of
from workbench.ui.data_seen import choices as dataset_choices
from workbench.ui.data_write import WriteView
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.pages import Pages, go_to
from workbench.ui.parts import page_head


@dataclass(frozen=True)
class DataTab:
    shown: Shown
    bring_other: gr.Button
    use: gr.Button
    line: gr.HTML
    untold: gr.HTML
    doctor: DoctorView
    rows: RowsView
    lengths: LengthsView
    write: WriteView
    out: OutView
    bring: BringView


def draw(bench: Bench) -> DataTab:
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
        bring_other = gr.Button("Bring other data", scale=1, elem_id="wb-data-bring")
        use = gr.Button("Use this data → Train", variant="primary", scale=1, elem_id="wb-data-use")
    line = gr.HTML(elem_id="wb-data-line")
    untold = gr.HTML(elem_id="wb-data-untold")
    with gr.Tabs(selected="check", elem_id="wb-data-views", elem_classes="wb-views", overflow_behavior="wrap") as views:
        with gr.Tab("Check", id="check"):
            doctor = data_doctor.draw()
        with gr.Tab("Rows", id="rows"):
            rows = data_rows.draw()
        with gr.Tab("Lengths", id="lengths"):
            lengths = data_lengths.draw()
        with gr.Tab("Write pairs", id="write"):
            write = data_write.draw()
        with gr.Tab("Split and export", id="out"):
            out = data_out.draw()
        with gr.Tab("Bring data", id="bring"):
            bring = data_bring.draw()
    shown = Shown(dataset, gr.State(""), gr.State(RunConfig.model_fields["max_length"].default), views)
    return DataTab(shown, bring_other, use, line, untold, doctor, rows, lengths, write, out, bring)


def wire(tab: DataTab, pages: Pages, bench: Bench) -> None:
    shown = tab.shown
    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}

    @border
    def choose(name: str | None) -> str:
        return seen_of(name or DEMO)

    @border
    def enter(seen: str) -> list[Any]:
        """The page is opened: the dataset that was looked at last, as it is now; the demo's where it is gone."""
        name = seen.split("@")[0] or choices.read().dataset
        return now(name if name in {one.name for one in datasets.all_abouts()} else DEMO)

    @border
    def use(seen: str) -> gr.Tabs:
        about = about_of(seen)
        choices.update(**{data_views.CHOICE_OF_KIND[about.kind]: about.name})
        return go_to("train")

    @border
    def line(seen: str) -> str:
        about = about_of(seen)
        choices.update(dataset=about.name)
        return data_views.line_html(about, report_of(about))

    shown.dataset.input(choose, shown.dataset, shown.seen, **quiet)
    shown.seen.change(line, shown.seen, tab.line, **quiet)
    tab.bring_other.click(lambda: go_to_view("bring"), None, shown.views, **quiet)
    tab.use.click(use, shown.seen, pages.tabs, **quiet)
    pages.opened["data"].select(enter, shown.seen, shown.outputs, **quiet)
    data_doctor.wire(tab.doctor, shown, tab.rows.check, bench)
    data_rows.wire(tab.rows, shown, bench)
    data_lengths.wire(tab.lengths, shown, pages, bench)
    data_write.wire(tab.write, shown, bench)
    data_out.wire(tab.out, shown, bench)
    data_bring.wire(tab.bring, shown, bench)
