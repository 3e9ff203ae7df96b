"""The part of the Watch page with all runs, which does nothing before somebody opens it."""

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.ui.all_runs.notes_view import NotesView
from workbench.ui.all_runs.run_table import RunTable
from workbench.ui.all_runs.trash_view import TrashView
from workbench.ui.frame import Frame
from workbench.ui.updates import QUIET, Updates

_SHOW_ARCHIVE = (
    "() => setTimeout(() => document.getElementById('wb-archive-pack')?.scrollIntoView({block: 'center'}), 400)"
)


class AllRuns:
    """part: the whole of it. clone: proposes the settings of the chosen run on the Train page."""

    def __init__(self) -> None:
        with gr.Accordion("All runs", open=False, elem_id="wb-runs") as self.part:
            self.table = RunTable()
            with gr.Row(elem_classes="wb-two"):
                with gr.Column():
                    self.notes = NotesView()
                    with gr.Row(elem_classes="wb-actions"):
                        self.clone = gr.Button("Clone with changes →", size="sm", elem_id="wb-runs-clone")
                        self.archive = gr.Button(
                            "Pack into one file, or bring one ↓", size="sm", elem_id="wb-runs-archive"
                        )
                with gr.Column():
                    self.family = gr.HTML(elem_id="wb-runs-family")
                    self.trash = TrashView()

    def wire(self, run: gr.Dropdown, archive: gr.Accordion, frame: Frame, app: AppState) -> None:
        """run: the choice of it. archive: where runs are packed and brought."""
        is_open = gr.State(False)

        def expand(run_name: str | None) -> Updates:
            return {is_open: True, **self.notes.updates(run_name), **self.trash.updates()}

        def collapse() -> Updates:
            return {is_open: False}

        def look_at(run_name: str | None, shown: bool) -> Updates:
            """Another run: after one was thrown away, the trash holds it too."""
            return {**self.notes.updates(run_name), **self.trash.updates()} if shown else {}

        changing = [*self.notes.outputs, *self.trash.outputs]
        self.part.expand(expand, run, [is_open, *changing], **QUIET)
        self.part.collapse(collapse, None, is_open, **QUIET)
        run.change(look_at, [run, is_open], changing, **QUIET)
        self.table.wire(run, self.family, is_open, frame, app)
        self.notes.wire(run, app)
        self.trash.wire(run, app)
        opened = self.archive.click(lambda: gr.Accordion(open=True), None, archive, **QUIET)
        opened.then(None, None, None, js=_SHOW_ARCHIVE)
