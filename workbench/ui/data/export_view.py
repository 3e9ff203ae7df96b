"""The view of the Data page for what leaves it: the split into training and held-out rows, and files."""

from collections.abc import Iterator

import gradio as gr

from workbench.core.data.split import resolution
from workbench.core.training.methods import DATA_KINDS
from workbench.jobs.app_state import AppState
from workbench.store import datasets
from workbench.store.datasets import About
from workbench.ui.data.seen import DEMO, Shown, about_of, about_to_change, is_own
from workbench.ui.environment import export_folder
from workbench.ui.parts import Html, card, facts, join, notice
from workbench.ui.updates import LATEST, QUIET, Updates, shown_if
from workbench.ui.working import WorkView, cancel_button, prepared

FORMATS = [("JSON lines (.jsonl)", "jsonl"), ("Parquet (.parquet)", "parquet")]
PARTS = [("Training", "train"), ("Held out", "held_out"), ("Both in one file", "all")]


class OutView:
    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-two"):
            with gr.Column():
                self.share = gr.Slider(
                    1, 50, value=10, step=1, label="Held out (%)",
                    info="Rows that training never sees, to measure with. Rows with the same prompt always stay together.",
                    elem_id="wb-out-share",
                )  # fmt: skip
                self.seed = gr.Number(
                    17, label="Seed", info="Same seed, same split.", precision=0, minimum=0, elem_id="wb-out-seed"
                )
                with gr.Row(elem_classes="wb-actions"):
                    self.split = gr.Button("Split again", elem_id="wb-out-split")
                    cancel = cancel_button()
                self.work = WorkView(gr.HTML(), cancel)
                self.format = gr.Radio(FORMATS, value="jsonl", label="Export as", elem_id="wb-out-format")
                self.part = gr.Radio(PARTS, value="train", label="Which rows", elem_id="wb-out-part")
                self.export = gr.DownloadButton("Prepare the file", elem_id="wb-out-export")
                self.delete = gr.Button("Delete this dataset", size="sm", visible=False, elem_id="wb-data-delete")
                self.really = gr.Button(
                    "Yes, delete it with all its versions",
                    size="sm",
                    variant="stop",
                    visible=False,
                    elem_id="wb-data-really",
                )
            with gr.Column():
                self.size = gr.HTML(elem_id="wb-out-size")

    def wire(self, shown: Shown, app: AppState) -> None:
        def show(seen: str) -> Updates:
            about = about_of(seen)
            share = max(1, min(50, round(100 * about.held_out_rows / max(1, about.kept))))
            own = is_own(about.name)
            return {
                self.share: share,
                self.seed: about.seed,
                self.split: gr.Button(interactive=own),
                self.size: size_html(about, share),
                self.delete: shown_if(own),
                self.really: shown_if(False),
            }

        def size(seen: str, share: float) -> Html:
            return size_html(about_of(seen), share)

        def split(seen: str, share: float, seed: float | None, request: gr.Request) -> Iterator[Updates]:
            about = about_to_change(seen)
            task = {"do": "split", "name": about.name, "share": share / 100, "seed": int(seed or 0)}
            yield from self.work.during(app, request, prepared(task), f"Splitting {about.name}")
            yield {**self.work.over(), **shown.now(about.name)}

        def export(seen: str, format: str, part: str) -> gr.DownloadButton:
            about = about_of(seen)
            target = export_folder() / f"{about.name}-v{about.version}-{part}.{format}"
            datasets.export(about.name, target, None if part == "all" else part)  # type: ignore[arg-type]
            return gr.DownloadButton(f"Download {target.name}", value=str(target))

        def delete(seen: str) -> Updates:
            datasets.delete(about_of(seen).name)
            return shown.now(DEMO)

        def forget() -> gr.DownloadButton:
            """A prepared file is not what the fields say any more."""
            return gr.DownloadButton("Prepare the file", value=None)

        shown.seen.change(
            show, shown.seen, [self.share, self.seed, self.split, self.size, self.delete, self.really], **LATEST
        )
        self.share.input(size, [shown.seen, self.share], self.size, **LATEST)
        self.split.click(split, [shown.seen, self.share, self.seed], [*self.work.outputs, *shown.outputs], **QUIET)
        self.work.wire(app)
        self.export.click(export, [shown.seen, self.format, self.part], self.export)
        gr.on([self.format.input, self.part.input, shown.seen.change], forget, None, self.export, **LATEST)
        self.delete.click(lambda: shown_if(True), None, self.really, **LATEST)
        self.really.click(delete, shown.seen, shown.outputs, **LATEST)


def size_html(about: About, share: float) -> Html:
    """What a held-out share means for what can be measured."""
    held_out = round(about.kept * share / 100)
    noun = DATA_KINDS[about.kind].noun
    now_held = about.held_out_rows
    pairs: list[tuple[str, object]] = [
        ("Now", f"{about.train_rows:,} {noun} to train on, {now_held:,} held out (seed {about.seed})"),
        ("With this share", f"about {about.kept - held_out:,} to train on, {held_out:,} held out"),
    ]
    if held_out:
        points = resolution(held_out)
        pairs.append(
            (
                "It can resolve",
                f"±{points:.0f} points: an accuracy of 50 % could be {50 - points:.0f} to {50 + points:.0f} %",
            )
        )
    words = (
        "A difference between two runs that is smaller than this may be chance. More held-out rows see finer "
        "differences, and leave fewer to train on; 200 to 400 are a good middle."
    )
    pieces = [card("What the held-out rows can tell", facts(pairs)), notice("info", "How to read it", words)]
    if not is_own(about.name):
        pieces.append(
            notice("info", "This set comes with the workbench", "Copy it under Check, and the copy can be split again.")
        )
    return join(*pieces)
