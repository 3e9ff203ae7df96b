"""The part of the Watch page that exports a run: which way out, with which options, and what came of it."""

import shutil
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import Exported, Upload
from workbench.core.export.targets import HUB, TARGETS, ExportOptions
from workbench.core.export.uploading import checked_repo
from workbench.core.training.config import checked
from workbench.core.training.run_state import State
from workbench.jobs import exports
from workbench.jobs.app_state import AppState
from workbench.jobs.child import Progress
from workbench.store.home import folder_in_home, writing
from workbench.store.runs import Run, open_run
from workbench.ui import form
from workbench.ui.environment import export_folder
from workbench.ui.export.written_html import size_label, written_html
from workbench.ui.parts import Html, text
from workbench.ui.updates import LATEST, QUIET, Updates, there_while
from workbench.ui.working import WorkView, cancel_button

FIRST = next(iter(TARGETS))
_NOT_HERE = ("dry_run",)  # the page lists what would go up before it offers to push it
_ENDED: tuple[State, ...] = ("finished", "stopped", "failed")


class TakeView:
    """all_of: the whole of it, there for a run that has ended with an adapter. options: every field of `ExportOptions` by its name,
    of which those are shown that the chosen way out reads."""

    def __init__(self) -> None:
        with gr.Accordion("Take it along", open=False, visible="hidden", elem_id="wb-take") as self.all_of:
            self.target = gr.Radio(
                [(one.title, one.id) for one in TARGETS.values()], value=FIRST, label="As", elem_id="wb-take-target"
            )
            self.words = gr.HTML(text(TARGETS[FIRST].words), elem_id="wb-take-words")
            with gr.Row(elem_classes="wb-settings wb-few"):
                self.options = {name: _draw(name) for name in ExportOptions.model_fields}
            with gr.Row(elem_classes="wb-actions"):
                self.export = gr.Button("Export", variant="primary", elem_id="wb-take-export")
                cancel = cancel_button()
            self.work = WorkView(gr.HTML(elem_id="wb-take-working"), cancel)
            self.written = gr.HTML(elem_id="wb-take-written")
            with gr.Row(elem_classes="wb-actions"):
                self.push = gr.Button("Push", variant="primary", visible="hidden", elem_id="wb-take-push")
                self.download = gr.DownloadButton("Prepare a .zip of it", visible="hidden", elem_id="wb-take-download")
            self._folder = gr.State("")  # what this session wrote last
            self._listed = gr.State(None)  # what of it would go to the Hub, as it is shown

    def wire(self, run: gr.Dropdown, app: AppState) -> None:
        """run: the choice of the run that is shown."""

        def shown_with(target: str) -> Updates:
            return {self.words: text(TARGETS[target].words), **self._options_of(target)}

        def export(run_name: str, target: str, request: gr.Request, *values: Any) -> Iterator[Updates]:
            yield from self.exported(app, request, open_run(run_name), target, values)

        def push(listed: Exported | None, request: gr.Request) -> Iterator[Updates]:
            yield from self.pushed(app, request, listed)

        def pack(folder: str) -> gr.DownloadButton:
            file = packed(Path(folder))
            return gr.DownloadButton(f"Download {file.name}", value=str(file))

        shown = [self.words, *self.options.values()]
        self.target.input(shown_with, self.target, shown, **LATEST)
        # What was told to be shown while it was folded away, and so was not in the page yet, stays hidden there.
        self.all_of.expand(shown_with, self.target, shown, **LATEST)
        self.export.click(
            export,
            [run, self.target, *self.options.values()],
            [*self.work.outputs, *self._of_written],
            **QUIET,
        )
        self.push.click(push, self._listed, [*self.work.outputs, *self._of_written], **QUIET)
        self.download.click(pack, self._folder, self.download)
        self.work.wire(app)

    @property
    def changing(self) -> list[Block]:
        """What changes with the run that is shown."""
        return [self.all_of, *self._of_written]

    @property
    def _of_written(self) -> list[Block]:
        return [self.written, self.push, self.download, self._folder, self._listed]

    def updates(self, run: Run | None, state: State | None, is_new: bool = False) -> Updates:
        """Whether a run can be taken along. is_new: it was not shown until now, and so nothing of it was written."""
        there = {self.all_of: there_while(run is not None and run.has_adapter and state in _ENDED)}
        return there | self.nothing() if is_new else there

    def exported(
        self, app: AppState, request: gr.Request, run: Run, target: str, values: tuple[Any, ...]
    ) -> Iterator[Updates]:
        """Progress while a run is exported, and at the end what was written."""
        options, out = options_of(target, values), free_folder(run.name, target)
        if target == HUB:
            checked_repo(options.repo)  # before a merge takes its time
        yield self.nothing()
        what = f"The export of {run.name} ({TARGETS[target].title})"
        found: Exported = yield from self.work.during(
            app, request, lambda say: _export(run.name, target, out, options, say), what
        )
        yield self._done(found)

    def pushed(self, app: AppState, request: gr.Request, listed: Exported | None) -> Iterator[Updates]:
        """Progress while what was listed is pushed, and at the end where it is. What the fields say by now counts for nothing."""
        if listed is None or listed.upload is None:
            raise WorkbenchError("There is nothing to push: export the run to the Hub first, which lists its files.")
        folder, what = Path(listed.folder), f"The push to {listed.upload.repo}"
        found: Exported = yield from self.work.during(app, request, lambda say: exports.push(listed, folder, say), what)
        yield self._done(found)

    def _done(self, found: Exported) -> Updates:
        upload = found.upload
        waits = upload is not None and not upload.url and found.agrees is not False
        label = _push_label(upload) if upload and waits else "Push"
        return {
            **self.work.over(),
            self.written: written_html(found),
            self.push: gr.update(value=label, visible=True if waits else "hidden"),
            self.download: gr.update(visible=True),
            self._folder: found.folder,
            self._listed: found if waits else None,
        }

    def nothing(self) -> Updates:
        """Nothing was written yet."""
        empty = gr.DownloadButton("Prepare a .zip of it", value=None, visible="hidden")
        return {
            self.written: Html(""), self.push: there_while(False), self.download: empty, self._folder: "", self._listed: None,
        }  # fmt: skip

    def _options_of(self, target: str) -> Updates:
        return {field: gr.update(visible=_visible(name, target)) for name, field in self.options.items()}


def _draw(name: str) -> Component:
    field = ExportOptions.model_fields[name]
    return form.draw(name, field, field.default, f"wb-take-{name.replace('_', '-')}", _visible(name, FIRST))


def _visible(name: str, target: str) -> bool | str:
    return (name in TARGETS[target].options and name not in _NOT_HERE) or "hidden"


def _export(run_name: str, target: str, out: Path, options: ExportOptions, say: Progress) -> Exported:
    """An export; of one for the Hub only what it would push, which lies in its folder until somebody says so."""
    if target != HUB:
        return exports.export(run_name, target, out, options, say)
    found = exports.export(run_name, options.content, out, options, say)
    return exports.to_be_pushed(found, out, options)


def _push_label(upload: Upload) -> str:
    seen = "private" if upload.private else "public"
    return f"Push {len(upload.files)} files ({size_label(upload.size)}) to {upload.repo}, {seen}"


def options_of(target: str, values: tuple[Any, ...]) -> ExportOptions:
    """What is chosen for a target; what it does not read keeps its default. Raises WorkbenchError with all that is wrong."""
    named = zip(ExportOptions.model_fields, values, strict=True)
    read = TARGETS[target].options
    return checked(ExportOptions, {name: value for name, value in named if name in read and value is not None})


def free_folder(run_name: str, target: str) -> Path:
    """Where an export of the page goes: exports/RUN-TARGET of the home, with a number where that is taken."""
    folder = folder_in_home("exports")
    names = (f"{run_name}-{target}{'' if number == 1 else f'-{number}'}" for number in count(1))
    return next(folder / name for name in names if not (folder / name).exists())


def packed(folder: Path) -> Path:
    """A .zip of an exported folder, where the window may hand it out. Stored and not compressed: weights do not shrink."""
    if not folder.name or not folder.is_dir():
        raise WorkbenchError("There is nothing to pack: export the run first, or look whether its folder was moved.")
    target = export_folder() / f"{folder.name}.zip"
    newest = max((file.stat().st_mtime for file in files_in(folder)), default=0)
    if target.is_file() and target.stat().st_mtime > newest:  # a click on Download asks for it once more
        return target
    draft = target.with_suffix(".draft")
    with writing(f"The archive {target.name}"):
        wanted, free = sum(file.stat().st_size for file in files_in(folder)), shutil.disk_usage(target.parent).free
        if wanted > free:
            raise WorkbenchError(
                f"The archive would take {wanted / 1e9:.2f} GB, and the disk has {free / 1e9:.2f} GB free. Copy the folder {folder} itself."
            )
        try:
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
                for file in files_in(folder):
                    archive.write(file, Path(folder.name) / file.relative_to(folder))
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return target


def files_in(folder: Path) -> list[Path]:
    return [folder / name for name in exports.listed(folder)]
