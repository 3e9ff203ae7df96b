"""Page 4: how does it go?"""

import os
from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block

from workbench.core.errors import WorkbenchError
from workbench.jobs import queue, training
from workbench.jobs.app_state import AppState
from workbench.jobs.logs import Reading
from workbench.jobs.proposals import findings_of
from workbench.store.best import STEP
from workbench.store.runs import Run, open_run
from workbench.ui.all_runs.all_runs_view import AllRuns
from workbench.ui.archive_view import ArchiveView
from workbench.ui.beside_view import Beside, chosen
from workbench.ui.curves_view import Curves
from workbench.ui.export.take_view import TakeView
from workbench.ui.frame import Frame, go_to
from workbench.ui.notify_view import NotifyButton
from workbench.ui.parts import Html, join, page_head
from workbench.ui.queue_view import QueueView
from workbench.ui.reward_view import reward_html
from workbench.ui.run_actions import RunActions, draw_choice, wire_choice
from workbench.ui.run_view import (
    absent_html,
    details_html,
    head_html,
    health_html,
    notes_html,
    reading_html,
    unreadable_html,
)
from workbench.ui.samples_view import SamplesView
from workbench.ui.sweep_result_view import SweepResult
from workbench.ui.updates import LATEST, QUIET, Updates, hidden_except, shown_if
from workbench.ui.who_may import for_visitors

Signature = tuple[Any, ...]
"""What the page shows of a run, in so far as it changes. Equal: there is nothing to draw."""


class WatchTab:
    def __init__(self) -> None:
        gr.HTML(
            page_head(
                "How does it go?",
                "Live while it trains, and there again when you come back: a run is a folder, not a window.",
            )
        )
        with gr.Row(elem_classes="wb-watch-choice"):
            self.run = draw_choice()
            self.beside = Beside()
        self.all_runs = AllRuns()
        self.head = gr.HTML(elem_id="wb-watch-head")
        self.actions = RunActions()
        self.notify = NotifyButton()
        self.queue = QueueView()
        self.health = gr.HTML(elem_id="wb-watch-health")
        self.reward = gr.HTML(elem_id="wb-watch-reward")
        self.sweep = SweepResult()
        self.curves = Curves()
        side_by_side = self.beside.draw_settings()
        with gr.Accordion("Sample answers: before and now", open=False) as samples:
            self.samples = SamplesView()
        self.take = TakeView()
        with gr.Accordion("Worker log", open=False) as log:
            self.log = gr.Textbox(
                show_label=False,
                lines=12,
                max_lines=12,
                interactive=False,
                autoscroll=True,
                elem_id="wb-watch-log",
                buttons=["copy"],
            )
        with gr.Accordion("Settings, versions and files of this run", open=False) as details:
            self.details = gr.HTML()
            self.actions.follow_ups["branch"].render()
        with gr.Accordion("Take this run to another machine, or bring one", open=False) as self.files:
            self.archive = ArchiveView()
        # What visitors of a Space do not see: paths, prompts of the owner's data, and what the worker printed.
        self.of_the_owner: list[Block] = [side_by_side, samples, log, details, self.files, self.all_runs.part]

    @property
    def changing(self) -> list[Block]:
        """All that changes with the run that is shown."""
        queued = [self.queue.card, self.queue.hold, self.queue.go_on]
        told = [
            self.health,
            self.reward,
            *self.curves.by_id.values(),
            self.beside.fold,
            self.beside.table,
            *self.samples.changing,
            self.log,
            self.details,
            *self.take.changing,
        ]
        return [self.head, *self.actions.buttons, *queued, *told]

    def wire(self, frame: Frame, app: AppState) -> None:
        seen = gr.State(())

        @for_visitors
        def draw_run(
            run_name: str | None, beside: list[str] | None, before: Signature, place: float, known: int
        ) -> Updates:
            """Everything on the page, or nothing where nothing changed."""
            now = signature(app, run_name, beside)
            return {} if now == before else {**self.page_of(app, run_name, before, (place, known), beside), seen: now}

        shown = [self.run, self.beside.runs, seen, self.samples.slider, self.samples.count]
        frame.clock.each_second(draw_run, shown, [*self.changing, seen])
        # A tick is up to a second away, which is long for somebody who chose a run, or loaded the page again.
        chosen_anew = [self.run.change, self.beside.runs.input]
        gr.on(chosen_anew, draw_run, shown, [*self.changing, seen], **LATEST, queue=False, concurrency_limit=None)
        self.samples.wire(self.run, app)
        wire_choice(self.run, self.beside.runs, frame, app)
        self.actions.wire(self.run, self.head, app)
        self.notify.wire(frame)
        self.queue.wire()
        self.sweep.wire(self.run, self.beside.runs, frame, app)
        self.archive.wire(self.run)
        self.all_runs.wire(self.run, self.files, frame, app)
        self.take.wire(self.run, app)
        self.actions.compare.click(lambda: go_to("compare"), None, frame.tabs, **QUIET)

    def page_of(
        self,
        app: AppState,
        run_name: str | None,
        before: Signature,
        film: tuple[float, int] = (0, 0),
        beside: Sequence[str] | None = None,
    ) -> Updates:
        """Updates of the page for a run. before: what it showed until now. film: where the slider of the sample answers stands, of
        how many evaluations. beside: names of runs to be drawn in its charts."""
        run = _find(run_name)
        if run is None:
            return self._without_run(app, absent_html(run_name))
        state = training.state_of(run)
        if state == "unreadable":
            return self._without_run(app, unreadable_html(run)) | {self.actions.trash: shown_if(True)}
        reading = app.read(run)
        others = [(other, app.read(other)) for other in chosen(beside, run, app.survey())]
        findings = findings_of(app, run)
        updates = {
            self.head: join(*notes_html(run), head_html(app, run, findings), *reading_html(reading)),
            self.health: health_html(findings, run.adjusted_config()) if findings else "",
            self.log: run.log_tail(),
            self.details: details_html(run),
            **self.actions.updates(app, run, state, findings),
            **self.queue.updates(app),
            **self.take.updates(run, state, is_new=before[:1] != (run.name,)),
        }
        # The charts are the heavy part; they are sent only when there are new rows.
        drawn_before = before[2] if len(before) > 2 and before[:2] == (run.name, state) else None
        is_over = state in ("finished", "stopped", "failed") and bool(reading.log.curves)
        if drawn_before != _versions(reading, others):
            updates |= self.curves.updates(run, reading, findings, others, is_over)
            updates |= self.beside.updates(run, [other for other, _ in others])
            place = film if before[:1] == (run.name,) else (None, 0)
            updates |= self.samples.updates(run, reading, *place)
        updates[self.reward] = reward_html(run, run.adjusted_config(), reading.log)
        return updates

    def _without_run(self, app: AppState, head: Html) -> Updates:
        """The page with a head and the queue, where there is no run to show, or none that can be read."""
        return {
            self.head: head,
            **hidden_except(self.actions.buttons, {}),
            **self.queue.updates(app),
            **self.take.updates(None, None),
            **self.curves.nothing(),
            **self.beside.nothing(),
            **self.samples.nothing(),
            **dict.fromkeys([self.health, self.reward, self.log, self.details], ""),
        }


def signature(app: AppState, run_name: str | None, beside: Sequence[str] | None = None) -> Signature:
    """Changes when there is something new to show."""
    run = _find(run_name)
    now = app.survey()
    waiting = tuple(one.name for one in now.waiting)
    in_queue = waiting, queue.held() if waiting else None, now.running if waiting else None
    if run is None:
        return ("nothing", run_name, training.gone_message(run_name or ""), *in_queue)
    state = now.states.get(run.name) or training.state_of(run)
    if state == "unreadable":
        return run.name, state, tuple(run.problems()), *in_queue
    log = os.path.getsize(run.log_file) if os.path.exists(run.log_file) else 0
    versions = _versions(app.read(run), [(other, app.read(other)) for other in chosen(beside, run, now)])
    result = (run.adapter / STEP).exists(), run.has_adapter, os.path.exists(run.held_out_file)
    known = bool(run.environment())
    return run.name, state, versions, log, run.stop_file.exists(), known, result, *in_queue


def _versions(reading: Reading, others: Sequence[tuple[Run, Reading]]) -> Signature:
    """Changes when there is something new to draw, or when another run is to be drawn beside this one."""
    return reading.version, *((other.name, of_other.version) for other, of_other in others)


def _find(run_name: str | None) -> Run | None:
    if not run_name:
        return None
    try:
        return open_run(run_name)
    except WorkbenchError:
        return None
