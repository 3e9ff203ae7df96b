"""On the Watch page: a run as one file to take away, and one that was made elsewhere to bring here."""

from pathlib import Path

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.jobs import archives
from workbench.store import choices
from workbench.store.runs import open_run
from workbench.ui.environment import export_folder
from workbench.ui.parts import Html, notice
from workbench.ui.updates import QUIET, Updates

PREPARE = "Pack this run into one file"


class ArchiveView:
    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-two"):
            with gr.Column():
                self.logs = gr.Checkbox(
                    False,
                    label="With the worker log",
                    info="It names folders of this machine.",
                    elem_id="wb-archive-logs",
                )
                self.pack = gr.DownloadButton(PREPARE, elem_id="wb-archive-pack")
            with gr.Column():
                self.file = gr.File(
                    label="A run from another machine (.zip)",
                    file_types=[".zip"],
                    height=120,
                    elem_id="wb-archive-file",
                )
                self.brought = gr.HTML(elem_id="wb-archive-brought")

    def wire(self, run: gr.Dropdown) -> None:
        """run: the choice of it."""

        def pack(run_name: str | None, logs: bool) -> gr.DownloadButton:
            if not run_name:
                raise WorkbenchError("There is no run to pack. Choose one above.")
            packed = open_run(run_name)  # what is no name of a run names no file either
            file = export_folder() / f"{packed.name}{'-with-log' if logs else ''}.zip"
            file.unlink(missing_ok=True)  # of an earlier click
            archives.pack(packed.name, file, logs)
            return gr.DownloadButton(f"Download {file.name} ({file.stat().st_size / 1e6:.1f} MB)", value=str(file))

        def bring(file: str | None) -> Updates:
            if not file:
                return {}
            name = archives.unpack(Path(file)).name
            choices.update(run=name)
            return {self.brought: brought_html(name), self.file: None}

        def forget() -> gr.DownloadButton:
            return gr.DownloadButton(PREPARE, value=None)

        self.pack.click(pack, [run, self.logs], self.pack, api_name="archive")
        gr.on([run.input, self.logs.input], forget, None, self.pack, **QUIET)
        self.file.upload(bring, self.file, [self.brought, self.file], api_name="unarchive")


def brought_html(name: str) -> Html:
    words = "It is in the list of runs above. A paused one can be resumed where its data is stored under the same name."
    return notice("good", f"{name} is here", words)
