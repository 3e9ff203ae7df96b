"""The view of the Data page that says what is wrong with a dataset, shows it, and mends it."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from workbench.core.errors import WorkbenchError
from workbench.jobs.app_state import AppState
from workbench.jobs.examining import examine
from workbench.jobs.ranking import rank
from workbench.store import choices, datasets
from workbench.store.datasets import About
from workbench.store.reward_models import reward_models
from workbench.ui.data import display, finding_view
from workbench.ui.data.finding_view import FindingView
from workbench.ui.data.seen import Shown, about_of, about_to_change, is_own, report_of
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.updates import EACH, LATEST, QUIET, Updates, shown_if
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


class RankBar:
    """The pairs are ranked by a reward model; there for pairs, once there is one."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-choose", visible=False) as self.row:
            self.reward = open_dropdown(
                [], label="Reward model", scale=2, elem_id="wb-data-rank-reward",
                info="Scores both answers of each training pair. Pairs that it would turn round become a finding.",
            )  # fmt: skip
            self.rank = gr.Button("Rank by the reward model", scale=1, elem_id="wb-data-rank")

    @property
    def all(self) -> list[Block]:
        return [self.row, self.reward]

    def updates(self, about: About, reward: str | None) -> Updates:
        """reward: the one that is chosen; the newest one where that is gone."""
        models = [(one.label, one.name) for one in reward_models()] if about.kind == "preference" else []
        names = [name for _, name in models]
        chosen = reward if reward in names else next(iter(names), None)
        return {self.row: shown_if(bool(models)), self.reward: gr.update(choices=models, value=chosen)}


class DoctorView:
    """found: the row with the findings and the one that is looked at; there where anything was found."""

    def __init__(self) -> None:
        self.verdict = gr.HTML(elem_id="wb-data-verdict")
        self.versions = VersionBar()
        self.ranking = RankBar()
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

    def wire(self, shown: Shown, filter_by: gr.Dropdown, opened: gr.Tab, app: AppState) -> list[Any]:
        """filter_by: the rows' filter by finding, which "Show all of them" sets. opened: the tab of the page.

        Gives back the events after which the doctor says something else of the same version.
        """
        work = self.versions.work
        changing = [*work.outputs, *shown.outputs]

        def show(seen: str) -> Updates:
            return self.updates(about_of(seen))

        def mend(other: bool, seen: str, check: str | None, request: gr.Request) -> Iterator[Updates]:
            about = about_to_change(seen)
            found = finding_view.find(about, check)
            if found is None or (found.other if other else found.remedy) is None:
                raise WorkbenchError("There is nothing to fix here. Choose a finding on the left.")
            task = prepared({"do": "remedy", "name": about.name, "check": found.check, "other": other})
            yield from work.during(app, request, task, f"Fixing {about.name}")
            yield {**work.over(), **shown.now(about.name)}

        def mend_first(seen: str, check: str | None, request: gr.Request) -> Iterator[Updates]:
            yield from mend(False, seen, check, request)

        def mend_other(seen: str, check: str | None, request: gr.Request) -> Iterator[Updates]:
            yield from mend(True, seen, check, request)

        def rank_pairs(seen: str, reward: str, length: int, request: gr.Request) -> Iterator[Updates]:
            """The training pairs by the reward model, then everything else as "Check again" does."""
            about = about_of(seen)
            task = partial(rank, app, about.name, reward)
            yield from work.during(app, request, task, f"Ranking {about.name}")
            yield from check_again(seen, length, request)

        def list_models(seen: str, reward: str | None) -> Updates:
            return self.ranking.updates(about_of(seen), reward)

        def check_again(seen: str, length: int, request: gr.Request) -> Iterator[Updates]:
            """Everything, with the tokens of the chosen model where it is at hand."""
            about, model = about_of(seen), choices.read().model
            task = partial(examine, app.tokens, about.name, model, length)
            _, missing = yield from work.during(app, request, task, f"Checking {about.name}")
            yield work.over(display.no_tokens_html(missing))

        shown.seen.change(show, shown.seen, self.all, **LATEST)
        for button, act in ((self.finding.remedy, mend_first), (self.finding.other, mend_other)):
            button.click(act, [shown.seen, self.findings], changing, **QUIET)
        ranking = self.ranking
        checked = [
            self.versions.again.click(check_again, [shown.seen, shown.length], changing, **QUIET),
            ranking.rank.click(rank_pairs, [shown.seen, ranking.reward, shown.length], changing, **QUIET),
        ]
        for event in checked:
            event.then(show, shown.seen, self.all, **LATEST)
        gr.on([shown.seen.change, opened.select], list_models, [shown.seen, ranking.reward], ranking.all, **EACH)
        self.finding.wire(self.findings, shown, filter_by)
        work.wire(app)
        self.versions.wire(shown)
        return checked

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
