"""The trash: what lies in it, a run taken back, and all of it deleted for good."""

from datetime import datetime

import gradio as gr
from gradio.blocks import Block

from workbench.core.errors import WorkbenchError
from workbench.core.memory.plan import in_gigabytes
from workbench.core.monitoring.run_list import run_label
from workbench.jobs import trash
from workbench.jobs.app_state import AppState
from workbench.store import choices
from workbench.store.trash import Thrown, content
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import text
from workbench.ui.run_actions import last_looked_at
from workbench.ui.updates import EACH, QUIET, Updates, there_while


class TrashView:
    """sure: asks again before anything is deleted.

    What is folded away is not there in the browser, and forgets that it is to be shown: so all of it is told when it is opened.
    """

    def __init__(self) -> None:
        with gr.Accordion("Trash", open=False, elem_id="wb-runs-trash") as self.part:
            self.told = gr.HTML(elem_id="wb-trash-told")
            self.place = open_dropdown([], label="A run in the trash", elem_id="wb-trash-place", visible="hidden")
            with gr.Row(elem_classes="wb-actions"):
                self.restore = gr.Button("Restore", size="sm", visible="hidden", elem_id="wb-trash-restore")
                self.empty = gr.Button("Empty the trash", size="sm", visible="hidden", elem_id="wb-trash-empty")
                self.sure = gr.Button(
                    "Delete for good", size="sm", variant="stop", visible="hidden", elem_id="wb-trash-sure"
                )
                self.keep = gr.Button("Keep it", size="sm", visible="hidden", elem_id="wb-trash-keep")

    @property
    def outputs(self) -> list[Block]:
        return [self.told, self.place, self.restore, self.empty, self.sure, self.keep]

    def wire(self, run: gr.Dropdown, app: AppState) -> None:
        def restore(place: str | None) -> Updates:
            if not place:
                raise WorkbenchError("Choose a run of the trash first.")
            restored, words = trash.restore(place)
            gr.Info(words)
            choices.update(run=restored.name)
            app.look_again()
            return {**self.updates(), run: last_looked_at(app)}

        def ask() -> Updates:
            found = content()
            words = gr.update(value=f"Delete {trash.content_label(found)} for good", visible=True)
            return {self.empty: there_while(False), self.sure: words, self.keep: there_while(True)}

        def delete() -> Updates:
            gr.Info(trash.empty())
            return self.updates()

        def look(is_open: bool) -> Updates:
            return self.updates() if is_open else {}

        is_open = gr.State(False)
        self.part.expand(lambda: True, None, is_open, **QUIET).then(look, is_open, self.outputs, **QUIET)
        self.part.collapse(lambda: False, None, is_open, **QUIET)
        run.change(look, is_open, self.outputs, **EACH)  # one may have been thrown away
        self.restore.click(restore, self.place, [*self.outputs, run], api_name="restore", **QUIET)
        self.empty.click(ask, None, [self.empty, self.sure, self.keep], **QUIET)
        self.sure.click(delete, None, self.outputs, api_name="empty_trash", show_progress_on=self.told)
        self.keep.click(self.updates, None, self.outputs, **QUIET)

    def updates(self) -> Updates:
        """What lies in the trash now; a question that was asked is asked no more."""
        found = content()
        is_full = bool(found.runs or found.others)
        words = f"In the trash: {trash.content_label(found)}." if is_full else "The trash is empty."
        runs = [(_label(one), one.place) for one in found.runs]
        newest = runs[0][1] if runs else None
        return {
            self.told: text(words),
            self.place: gr.update(choices=runs, value=newest, visible=bool(runs) or "hidden"),
            self.restore: there_while(bool(runs)),
            self.empty: gr.update(value=f"Empty the trash ({in_gigabytes(found.bytes)})", visible=is_full or "hidden"),
            self.sure: there_while(False),
            self.keep: there_while(False),
        }


def _label(one: Thrown) -> str:
    """ "demo-2, thrown away 22 Nov 14:05, 3.4 MB" """
    when = f"{datetime.fromtimestamp(one.time):%d %b %H:%M}".lstrip("0")
    return f"{run_label(one.name, one.title)}, thrown away {when}, {in_gigabytes(one.bytes)}"
