"""One finding of the doctor on the Data page: what it means, what can be done about it, and the rows that it is about."""

from collections.abc import Callable

import gradio as gr
from gradio.blocks import Block

from workbench.core.data.doctor.findings import Finding
from workbench.core.data.messages import check_of
from workbench.store import datasets
from workbench.store.datasets import About
from workbench.ui.data import display
from workbench.ui.data.seen import Shown, about_of, go_to_view, is_own, report_of
from workbench.ui.parts import Html, join, notice
from workbench.ui.updates import LATEST, Updates, hidden_except, shown_if


class ExampleView:
    """One affected row at a time. number: which one, from 0."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-actions"):
            self.before = gr.Button("‹ Previous example", size="sm", visible=False, elem_id="wb-data-example-before")
            self.after = gr.Button("Next example ›", size="sm", visible=False, elem_id="wb-data-example-after")
        self.place = gr.HTML(elem_id="wb-data-example-place")
        self.row = gr.HTML(elem_id="wb-data-example")
        self.number = gr.State(0)

    @property
    def all(self) -> list[Block]:
        return [self.before, self.after, self.place, self.row, self.number]

    def updates(self, about: About, check: str | None, number: int) -> Updates:
        """One affected row. Past either end it goes on at the other."""
        found = find(about, check)
        if found is None or not found.rows:
            left_out = _left_out_examples(about, found) if found and found.left_out else ""
            return hidden_except([self.before, self.after], {self.place: "", self.row: left_out, self.number: 0})
        number %= len(found.rows)
        place = found.rows[number]
        several = len(found.rows) > 1
        return {
            self.before: shown_if(several),
            self.after: shown_if(several),
            self.place: display.place_html(number, len(found.rows), place, about),
            self.row: display.row_html(datasets.row(about.name, place)),
            self.number: number,
        }


class FindingView:
    """remedy, other: what can be done about it, and what in its place."""

    def __init__(self) -> None:
        self.detail = gr.HTML(elem_id="wb-data-finding")
        with gr.Row(elem_classes="wb-actions"):
            self.remedy = gr.Button("Fix", variant="primary", visible=False, elem_id="wb-data-remedy")
            self.other = gr.Button("Or", visible=False, elem_id="wb-data-remedy-other")
            self.show_rows = gr.Button("Show all of them", visible=False, elem_id="wb-data-show-rows")
        self.example = ExampleView()

    @property
    def all(self) -> list[Block]:
        return [self.detail, self.remedy, self.other, self.show_rows, *self.example.all]

    def wire(self, findings: gr.Radio, shown: Shown, filter_by: gr.Dropdown) -> None:
        """findings: the list in which one is chosen. filter_by: the rows' filter by finding, which "Show all of them" sets."""

        def choose(seen: str, check: str | None) -> Updates:
            return self.updates(about_of(seen), check)

        def turn(by: int) -> Callable[[str, str | None, int], Updates]:
            def to_another(seen: str, check: str | None, number: int) -> Updates:
                return self.example.updates(about_of(seen), check, number + by)

            return to_another

        findings.input(choose, [shown.seen, findings], self.all, **LATEST)
        for button, by in ((self.example.before, -1), (self.example.after, 1)):
            button.click(turn(by), [shown.seen, findings, self.example.number], self.example.all, **LATEST)
        self.show_rows.click(
            lambda check: {filter_by: gr.Dropdown(value=check), shown.views: go_to_view("rows")},
            findings,
            [filter_by, shown.views],
            **LATEST,
        )

    def updates(self, about: About, check: str | None) -> Updates:
        """What one finding means, what can be done about it, and the first row that it is about."""
        found = find(about, check)
        if found is None:
            return {
                **hidden_except([self.remedy, self.other, self.show_rows], {self.detail: ""}),
                **self.example.updates(about, None, 0),
            }
        return {
            self.detail: join(display.finding_html(found), _copy_first(about, found)),
            **{
                button: gr.update(value=remedy.label if remedy else "", visible=bool(remedy) and is_own(about.name))
                for button, remedy in ((self.remedy, found.remedy), (self.other, found.other))
            },
            self.show_rows: gr.update(value=f"Show all {len(found.rows):,}", visible=bool(found.rows)),
            **self.example.updates(about, check, 0),
        }


def find(about: About, check: str | None) -> Finding | None:
    """The finding of a check, where the doctor has one."""
    report = report_of(about)
    return next((one for one in report.findings if one.check == check), None) if report else None


def _left_out_examples(about: About, found: Finding) -> Html:
    examples = [one for one in datasets.left_out_examples(about.name) if check_of(one["reason"]) == found.check]
    return display.left_out_rows_html(examples)


def _copy_first(about: About, found: Finding) -> Html:
    if found.remedy is None or is_own(about.name):
        return Html("")
    return notice("info", "This set comes with the workbench", "Copy it, and the copy can be fixed with one click.")
