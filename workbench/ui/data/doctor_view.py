"""The view of the Data page that says what is wrong with a dataset, shows it, and mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from workbench.core.data.doctor.findings import Finding
from workbench.core.errors import WorkbenchError
from workbench.jobs.app_state import AppState
from workbench.jobs.examining import examine
from workbench.store import choices, datasets
from workbench.store.datasets import About
from workbench.ui.border import border
from workbench.ui.data import display
from workbench.ui.data.seen import Shown, about_of, about_to_change, go_to_view, is_own, now, report_of
from workbench.ui.parts import Html, join, notice
from workbench.ui.working import cancel, cancel_button, prepared, work


@dataclass(frozen=True)
class DoctorView:
    verdict: gr.HTML
    working: gr.HTML
    findings: gr.Radio
    passed: gr.HTML
    about: gr.HTML
    history: gr.HTML
    detail: gr.HTML
    before: gr.Button
    after: gr.Button
    place: gr.HTML
    example: gr.HTML
    number: gr.State
    remedy: gr.Button
    show_rows: gr.Button
    undo: gr.Button
    redo: gr.Button
    copy: gr.Button
    again: gr.Button
    cancel: gr.Button


def draw() -> DoctorView:
    verdict = gr.HTML(elem_id="wb-data-verdict")
    with gr.Row(elem_classes="wb-actions"):
        again = gr.Button("Check again", size="sm", elem_id="wb-data-check-again")
        undo = gr.Button("Undo the last change", size="sm", visible=False, elem_id="wb-data-undo")
        redo = gr.Button("Redo", size="sm", visible=False, elem_id="wb-data-redo")
        copy = gr.Button("Copy it, to change it", size="sm", visible=False, elem_id="wb-data-copy")
        cancel = cancel_button()
    working = gr.HTML(elem_id="wb-data-working")
    with gr.Row(elem_classes="wb-two"):
        with gr.Column():
            findings = gr.Radio([], label="What was found", elem_id="wb-data-findings", elem_classes="wb-list")
            with gr.Accordion("What else was looked for", open=False):
                passed = gr.HTML(elem_id="wb-data-passed")
        with gr.Column():
            detail = gr.HTML(elem_id="wb-data-finding")
            with gr.Row(elem_classes="wb-actions"):
                remedy = gr.Button("Fix", variant="primary", visible=False, elem_id="wb-data-remedy")
                show_rows = gr.Button("Show all of them", visible=False, elem_id="wb-data-show-rows")
            with gr.Row(elem_classes="wb-actions"):
                before = gr.Button("‹ Previous example", size="sm", visible=False, elem_id="wb-data-example-before")
                after = gr.Button("Next example ›", size="sm", visible=False, elem_id="wb-data-example-after")
            place = gr.HTML(elem_id="wb-data-example-place")
            example = gr.HTML(elem_id="wb-data-example")
            about = gr.HTML(elem_id="wb-data-about")
            with gr.Accordion("Where it comes from, and what was changed", open=False):
                history = gr.HTML(elem_id="wb-data-history")
    return DoctorView(
        verdict, working, findings, passed, about, history, detail, before, after, place, example, gr.State(0), remedy,
        show_rows, undo, redo, copy, again, cancel,
    )  # fmt: skip


def wire(view: DoctorView, shown: Shown, filter_by: gr.Dropdown, app: AppState) -> None:
    """filter_by: the rows' filter by finding, which "Show all of them" sets."""
    whole = [view.verdict, view.findings, view.passed, view.about, view.history, view.undo, view.redo, view.copy]
    finding = [view.detail, view.remedy, view.show_rows]
    example = [view.number, view.before, view.after, view.place, view.example]
    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}

    @border
    def show(seen: str) -> list[Any]:
        about = about_of(seen)
        return [
            *whole_updates(about),
            *finding_updates(about, _first(about)),
            *example_updates(about, _first(about), 0),
        ]

    @border
    def choose(seen: str, check: str | None) -> list[Any]:
        about = about_of(seen)
        return [*finding_updates(about, check), *example_updates(about, check, 0)]

    def turn(by: int) -> Any:
        @border
        def to_another(seen: str, check: str | None, number: int) -> list[Any]:
            return example_updates(about_of(seen), check, number + by)

        return to_another

    @border
    def mend(seen: str, check: str | None, request: gr.Request) -> Iterator[list[Any]]:
        about = about_to_change(seen)
        found = _finding(about, check)
        if found is None or found.remedy is None:
            raise WorkbenchError("There is nothing to fix here. Choose a finding on the left.")
        yield from _bars(
            request, prepared({"do": "remedy", "name": about.name, "check": found.check}), f"Fixing {about.name}"
        )
        yield ["", gr.Button(visible=False), *now(about.name)]

    @border
    def check_again(seen: str, length: int, request: gr.Request) -> Iterator[list[Any]]:
        """Everything, with the tokens of the chosen model where it is at hand."""
        about, model = about_of(seen), choices.read().model
        _, missing = yield from _bars(
            request, partial(examine, app.tokens, about.name, model, length), f"Checking {about.name}"
        )
        yield [display.no_tokens_html(missing), gr.Button(visible=False), gr.skip(), gr.skip()]

    def _bars(request: gr.Request, act: Any, what: str) -> Any:
        """Updates for each bar of a piece of work; gives back its result."""
        working = work(app, request, act, what)
        while True:
            try:
                yield [next(working), gr.Button(visible=True), gr.skip(), gr.skip()]
            except StopIteration as done:
                return done.value

    @border
    def undo(seen: str) -> list[Any]:
        return now(datasets.undo(about_to_change(seen).name).name)

    @border
    def redo(seen: str) -> list[Any]:
        return now(datasets.redo(about_to_change(seen).name).name)

    @border
    def copy(seen: str) -> list[Any]:
        about = about_of(seen)
        return now(datasets.copy(about.name, datasets.free_name(f"my-{about.name}"[:60])).name)

    shown.seen.change(show, shown.seen, [*whole, *finding, *example], **quiet)
    view.findings.input(choose, [shown.seen, view.findings], [*finding, *example], **quiet)
    for button, by in ((view.before, -1), (view.after, 1)):
        button.click(turn(by), [shown.seen, view.findings, view.number], example, **quiet)
    changing = [view.working, view.cancel, *shown.outputs]
    view.remedy.click(mend, [shown.seen, view.findings], changing, show_progress="hidden")
    view.again.click(check_again, [shown.seen, shown.length], changing, show_progress="hidden").then(
        show, shown.seen, [*whole, *finding, *example], **quiet
    )
    view.cancel.click(cancel(app), None, None, show_progress="hidden", queue=False)
    view.undo.click(undo, shown.seen, shown.outputs, **quiet)
    view.redo.click(redo, shown.seen, shown.outputs, **quiet)
    view.copy.click(copy, shown.seen, shown.outputs, **quiet)
    view.show_rows.click(
        lambda check: [gr.Dropdown(value=check), go_to_view("rows")], view.findings, [filter_by, shown.views], **quiet
    )


def whole_updates(about: About) -> list[Any]:
    """Everything but the one finding that is looked at."""
    report = report_of(about)
    found = report.findings if report else ()
    own = is_own(about.name)
    labels = [(display.finding_label(one), one.check) for one in found]
    return [
        display.report_html(report, about),
        gr.Radio(labels, value=_first(about), visible=bool(found)),
        display.passed_html(report),
        display.dataset_html(about),
        display.history_html(about),
        gr.Button(visible=own and about.parent is not None),
        gr.Button(visible=own and datasets.versions(about.name)[-1].version > about.version),
        gr.Button(visible=not own),
    ]


def finding_updates(about: About, check: str | None) -> list[Any]:
    """What one finding means, and what can be done about it."""
    found = _finding(about, check)
    if found is None:
        return ["", gr.Button(visible=False), gr.Button(visible=False)]
    return [
        join(display.finding_html(found), _copy_first(about, found)),
        gr.Button(found.remedy.label if found.remedy else "", visible=bool(found.remedy) and is_own(about.name)),
        gr.Button(f"Show all {len(found.rows):,}", visible=bool(found.rows)),
    ]


def example_updates(about: About, check: str | None, number: int) -> list[Any]:
    """One affected row. number: from 0; past either end it goes on at the other."""
    found = _finding(about, check)
    if found is None or (not found.rows and not found.left_out):
        return [0, gr.Button(visible=False), gr.Button(visible=False), "", ""]
    if found.left_out and not found.rows:
        return [0, gr.Button(visible=False), gr.Button(visible=False), "", _left_out_examples(about, found)]
    number %= len(found.rows)
    row = datasets.row(about.name, found.rows[number])
    place = display.place_html(number, len(found.rows), found.rows[number], about)
    several = len(found.rows) > 1
    return [number, gr.Button(visible=several), gr.Button(visible=several), place, display.row_html(row)]


def _left_out_examples(about: About, found: Finding) -> Html:
    examples = [
        one for one in datasets.left_out_examples(about.name) if display.check_of_reason(one["reason"]) == found.check
    ]
    return display.left_out_rows_html(examples)


def _copy_first(about: About, found: Finding) -> Html:
    if found.remedy is None or is_own(about.name):
        return Html("")
    return notice("info", "This set comes with the workbench", "Copy it, and the copy can be fixed with one click.")


def _finding(about: About, check: str | None) -> Finding | None:
    report = report_of(about)
    return next((one for one in report.findings if one.check == check), None) if report else None


def _first(about: About) -> str | None:
    report = report_of(about)
    return report.findings[0].check if report and report.findings else None
