"""The view of the Data page that brings data in: where from, what it is, how much of it, under which name."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from pydantic_core import to_jsonable_python

from workbench.core.data.formats import AS_RECOGNISED
from workbench.core.errors import WorkbenchError
from workbench.jobs.app_state import AppState
from workbench.store import datasets
from workbench.store.datasets import Take
from workbench.ui.data import display
from workbench.ui.data.bring_reading import ReadingView, preview_of
from workbench.ui.data.bring_source import SourceView, file_name_of
from workbench.ui.data.seen import Shown, go_to_view
from workbench.ui.updates import LATEST, QUIET, Updates, shown_if
from workbench.ui.working import WorkView, cancel_button, prepared


class BringView:
    """work: shows what the source holds, until it shows how far storing it is."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-two"):
            with gr.Column():
                self.source = SourceView()
                self.reading = ReadingView()
                self.part = gr.Radio(
                    [("All rows", "all"), ("The first", "first"), ("At random", "random")],
                    value="all",
                    label="How much of it",
                )
                with gr.Row():
                    self.count = gr.Number(
                        1000, label="Rows to take", precision=0, visible=False, elem_id="wb-data-count"
                    )
                    self.seed = gr.Number(
                        17, label="Seed", info="Of the choice and of the split.", precision=0, visible=False
                    )
                self.name = gr.Textbox(label="Name for it here", max_lines=1, elem_id="wb-data-name")
                with gr.Row(elem_classes="wb-actions"):
                    self.store = gr.Button("Store and check it", variant="primary", elem_id="wb-data-store")
                    cancel = cancel_button()
            with gr.Column():
                meaning = gr.HTML(display.nothing_chosen_html(), elem_id="wb-data-meaning")
        self.work = WorkView(meaning, cancel)

    def wire(self, shown: Shown, app: AppState) -> None:
        source, meaning = self.source, self.work.bar
        where, what = list(source.where.values()), list(self.reading.what.values())

        def look(*values: Any) -> Updates:
            """A source that was chosen: what it is, with nothing said by hand yet."""
            chosen = source.source(values)
            if chosen is None:
                return {meaning: display.nothing_chosen_html(), **self.reading.fresh(None)}
            preview, name = preview_of(chosen, AS_RECOGNISED), file_name_of(chosen)
            named = {self.name: name} if name else {}
            return {meaning: display.preview_html(preview), **named, **self.reading.fresh(preview)}

        def store(
            name: str, part: str, count: float | None, seed: float | None, request: gr.Request, *values: Any
        ) -> Iterator[Updates]:
            chosen = source.source(values[: len(where)])
            if chosen is None:
                raise WorkbenchError("Nothing is chosen yet. Choose where the data comes from, and what.")
            name = name.strip()
            datasets.check_free(name)
            task = {
                "do": "import",
                "source": chosen.model_dump(mode="json"),
                "name": name,
                "take": take_of(part, count, seed).__dict__,
                "options": to_jsonable_python(self.reading.how(values[len(where) :])),
            }
            yield from self.work.during(app, request, prepared(task), f"Storing {name}")
            yield {
                **self.work.over(display.nothing_chosen_html()),
                **shown.now(name),
                shown.views: go_to_view("check"),
            }

        def which_rows(part: str) -> Updates:
            return {self.count: shown_if(part != "all"), self.seed: shown_if(part == "random")}

        for chosen in (source.where["file"].change, source.where["path"].submit, source.look.click):
            chosen(look, where, [meaning, self.name, *self.reading.all])
        self.part.change(which_rows, self.part, [self.count, self.seed], **LATEST)
        self.store.click(
            store,
            [self.name, self.part, self.count, self.seed, *where, *what],
            [*self.work.outputs, *shown.outputs, shown.views],
            **QUIET,
        )
        self.work.wire(app)
        source.wire(self.name, meaning)
        self.reading.wire(source, meaning)


def take_of(part: str, count: float | None, seed: float | None) -> Take:
    """Which rows to keep. Raises WorkbenchError for a count that is none."""
    if part == "all":
        return Take()
    if not count or count < 1:
        raise WorkbenchError(f"Rows to take is {count or 'empty'}; it must be 1 or more.")
    return Take("first" if part == "first" else "random", int(count), int(seed or 0))
