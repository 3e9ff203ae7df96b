"""The part of the Watch page with all runs, which does nothing before somebody opens it."""

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.jobs import training
from workbench.jobs.app_state import AppState
from workbench.store.runs import open_run
from workbench.ui.all_runs.notes_view import NotesView
from workbench.ui.all_runs.run_table import RunTable
from workbench.ui.all_runs.trash_view import TrashView
from workbench.ui.frame import Frame
from workbench.ui.run_actions import last_looked_at
from workbench.ui.updates import EACH, QUIET, Updates

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
                        self.throw = gr.Button("Move to the trash", size="sm", elem_id="wb-runs-throw")
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
            return {is_open: True, **self.notes.updates(run_name)}

        def collapse() -> Updates:
            return {is_open: False}

        def look_at(run_name: str | None, shown: bool) -> Updates:
            return self.notes.updates(run_name) if shown else {}

        def throw(run_name: str | None) -> gr.Dropdown:
            if not run_name:
                raise WorkbenchError("There is no run to throw away. Choose one above.")
            gr.Info(training.move_to_trash(open_run(run_name)))
            app.look_again()
            return last_looked_at(app)

        self.part.expand(expand, run, [is_open, *self.notes.outputs], **QUIET)
        self.part.collapse(collapse, None, is_open, **QUIET)
        run.change(look_at, [run, is_open], self.notes.outputs, **EACH)
        self.throw.click(throw, run, run, api_name="throw", **QUIET)
        self.table.wire(run, self.family, is_open, frame, app)
        self.notes.wire(run, app)
        self.trash.wire(run, app)
        opened = self.archive.click(lambda: gr.Accordion(open=True), None, archive, **QUIET)
        opened.then(None, None, None, js=_SHOW_ARCHIVE)
