"""What a person writes on the run that is shown: a title, tags and a note."""

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.jobs.app_state import AppState
from workbench.store import run_notes
from workbench.store.run_files import RunNotes
from workbench.store.runs import open_run
from workbench.ui.run_actions import run_choices
from workbench.ui.updates import QUIET, Updates


class NotesView:
    def __init__(self) -> None:
        self.title = gr.Textbox(
            label="Title", max_lines=1, max_length=run_notes.LONGEST_TITLE, elem_id="wb-runs-title",
            info="Lists show it before the run's name. The name stays: other runs, votes and reports know the run by it.",
        )  # fmt: skip
        self.tags = gr.Textbox(label="Tags", max_lines=1, placeholder="baseline, beta sweep", elem_id="wb-runs-tags")
        self.note = gr.Textbox(
            label="Note", lines=3, max_lines=12, max_length=run_notes.LONGEST_NOTE, elem_id="wb-runs-note",
            placeholder="What you wanted to know with this run, and what you found",
        )  # fmt: skip
        self.save = gr.Button("Save", size="sm", variant="primary", elem_id="wb-runs-save")

    @property
    def outputs(self) -> list[gr.Textbox]:
        return [self.title, self.tags, self.note]

    def wire(self, run: gr.Dropdown, app: AppState) -> None:
        def save(run_name: str | None, title: str, tags: str, note: str) -> Updates:
            if not run_name:
                raise WorkbenchError("There is no run to write on. Choose one above.")
            written = run_notes.write_notes(open_run(run_name), title, note, [tags])
            gr.Info(f"Saved with {run_name}.")
            app.look_again()
            return {**self._of(run_name, written), run: gr.update(choices=run_choices(app))}

        self.save.click(save, [run, *self.outputs], [run, *self.outputs], api_name="note", **QUIET)

    def updates(self, run_name: str | None) -> Updates:
        """What is written on a run; empty fields for one that is gone."""
        try:
            return self._of(run_name, run_notes.notes_of(open_run(run_name)) if run_name else RunNotes())
        except WorkbenchError:
            return self._of(None, RunNotes())

    def _of(self, run_name: str | None, notes: RunNotes) -> Updates:
        label = f"Title of {run_name}" if run_name else "Title"
        return {
            self.title: gr.update(value=notes.title, label=label),
            self.tags: ", ".join(notes.tags),
            self.note: notes.note,
        }
