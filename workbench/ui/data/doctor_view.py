"""The view of the Data page that says what is wrong with a dataset, shows it, and mends it."""

from collections.abc import Iterator
from functools import partial

import gradio as gr
from gradio.blocks import Block

from workbench.core.errors import WorkbenchError
from workbench.jobs.app_state import AppState
from workbench.jobs.examining import examine
from workbench.store import choices, datasets
from workbench.store.datasets import About
from workbench.ui.data import display, finding_view
from workbench.ui.data.finding_view import FindingView
from workbench.ui.data.seen import Shown, about_of, about_to_change, is_own, report_of
from workbench.ui.updates import LATEST, QUIET, Updates, shown_if
from workbench.ui.working import WorkView, cancel_button, prepared


class VersionBar:
    """A dataset is checked again, its changes are undone and made again, or it is copied so that it can be changed."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-actions"):
            self.again = gr.Button("Check again", size="sm", elem_id="wb-data-check-again")
            self.undo = gr.Button("Undo the last change", size="sm", visible=False, elem_id="wb-data-undo")
            self.redo = gr.Button("Redo", size="sm", visible=False, elem_id="wb-data-redo")
            self.copy = gr.Button("Copy it, to change it", size="sm", visible=False, elem_id="wb-data-copy")
            cancel = cancel_button()
        self.work = WorkView(gr.HTML(elem_id="wb-data-working"), cancel)

    def wire(self, shown: Shown) -> None:
        def redo(seen: str) -> Updates:
            return shown.now(datasets.redo(about_to_change(seen).name).name)

        def copy(seen: str) -> Updates:
            about = about_of(seen)
            return shown.now(datasets.copy(about.name, datasets.free_name(f"my-{about.name}"[:60])).name)

        self.undo.click(shown.undone, shown.seen, shown.outputs, **LATEST)
        self.redo.click(redo, shown.seen, shown.outputs, **LATEST)
        self.copy.click(copy, shown.seen, shown.outputs, **LATEST)


class DoctorView:
    """found: the row with the findings and the one that is looked at; there where anything was found."""

    def __init__(self) -> None:
        self.verdict = gr.HTML(elem_id="wb-data-verdict")
        self.versions = VersionBar()
        with gr.Row(elem_classes="wb-two", visible=False) as self.found:
            with gr.Column():
                self.findings = gr.Radio([], label="What was found", elem_id="wb-data-findings", elem_classes="wb-list")
            with gr.Column():
                self.finding = FindingView()
        with gr.Row(elem_classes="wb-two"):
            with gr.Column():
                self.about = gr.HTML(elem_id="wb-data-about")
                with gr.Accordion("Where it comes from, and what was changed", open=False):
                    self.history = gr.HTML(elem_id="wb-data-history")
            with gr.Column():
                self.passed = gr.HTML(elem_id="wb-data-passed")

    @property
    def all(self) -> list[Block]:
        buttons = [self.versions.undo, self.versions.redo, self.versions.copy]
        return [
            self.verdict,
            *buttons,
            self.found,
            self.findings,
            *self.finding.all,
            self.about,
            self.passed,
            self.history,
        ]

    def wire(self, shown: Shown, filter_by: gr.Dropdown, app: AppState) -> None:
        """filter_by: the rows' filter by finding, which "Show all of them" sets."""
        work = self.versions.work
        changing = [*work.outputs, *shown.outputs]

        def show(seen: str) -> Updates:
            return self.updates(about_of(seen))

        def mend(seen: str, check: str | None, request: gr.Request) -> Iterator[Updates]:
            about = about_to_change(seen)
            found = finding_view.find(about, check)
            if found is None or found.remedy is None:
                raise WorkbenchError("There is nothing to fix here. Choose a finding on the left.")
            task = prepared({"do": "remedy", "name": about.name, "check": found.check})
            yield from work.during(app, request, task, f"Fixing {about.name}")
            yield {**work.over(), **shown.now(about.name)}

        def check_again(seen: str, length: int, request: gr.Request) -> Iterator[Updates]:
            """Everything, with the tokens of the chosen model where it is at hand."""
            about, model = about_of(seen), choices.read().model
            task = partial(examine, app.tokens, about.name, model, length)
            _, missing = yield from work.during(app, request, task, f"Checking {about.name}")
            yield work.over(display.no_tokens_html(missing))

        shown.seen.change(show, shown.seen, self.all, **LATEST)
        self.finding.remedy.click(mend, [shown.seen, self.findings], changing, **QUIET)
        self.versions.again.click(check_again, [shown.seen, shown.length], changing, **QUIET).then(
            show, shown.seen, self.all, **LATEST
        )
        self.finding.wire(self.findings, shown, filter_by)
        work.wire(app)
        self.versions.wire(shown)

    def updates(self, about: About) -> Updates:
        """All that the doctor says of a dataset, with its first finding."""
        report = report_of(about)
        found = report.findings if report else ()
        first = found[0].check if found else None
        own = is_own(about.name)
        return {
            self.verdict: display.report_html(report, about),
            self.versions.undo: shown_if(own and about.parent is not None),
            self.versions.redo: shown_if(own and datasets.versions(about.name)[-1].version > about.version),
            self.versions.copy: shown_if(not own),
            self.found: shown_if(bool(found)),
            self.findings: gr.Radio([(display.finding_label(one), one.check) for one in found], value=first),
            **self.finding.updates(about, first),
            self.about: display.dataset_html(about),
            self.passed: display.passed_html(report),
            self.history: display.history_html(about),
        }
