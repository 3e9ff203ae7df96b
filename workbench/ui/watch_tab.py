"""Page 4: how does it go?"""

import os
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from workbench.core.errors import WorkbenchError
from workbench.jobs import queue, training
from workbench.jobs.app_state import AppState
from workbench.jobs.proposals import findings_of
from workbench.store.runs import Run, open_run
from workbench.ui import curves_view, queue_view, run_actions, run_choice
from workbench.ui.curves_view import Curves
from workbench.ui.frame import Frame, go_to
from workbench.ui.health_view import health_html
from workbench.ui.parts import Html, join, page_head
from workbench.ui.queue_view import QueueView
from workbench.ui.run_actions import RunActions
from workbench.ui.run_view import absent_html, details_html, head_html, notes_html, reading_html, unreadable_html
from workbench.ui.samples_view import samples_html
from workbench.ui.updates import QUIET, Updates, hidden_except, shown_if

Signature = tuple[Any, ...]
"""What the page shows of a run, in so far as it changes. Equal: there is nothing to draw."""


@dataclass(frozen=True)
class WatchTab:
    run: gr.Dropdown
    head: gr.HTML
    actions: RunActions
    queue: QueueView
    health: gr.HTML
    curves: Curves
    samples: gr.HTML
    log: gr.Textbox
    details: gr.HTML

    @property
    def changing(self) -> list[Block]:
        """All that changes with the run that is shown."""
        queued = [self.queue.card, self.queue.hold, self.queue.go_on]
        told = [self.health, *self.curves.values(), self.samples, self.log, self.details]
        return [self.head, *self.actions.buttons, *queued, *told]


def draw() -> WatchTab:
    gr.HTML(
        page_head(
            "How does it go?",
            "Live while it trains, and there again when you come back: a run is a folder, not a window.",
        )
    )
    run = run_choice.draw()
    head = gr.HTML(elem_id="wb-watch-head")
    actions = run_actions.draw()
    waiting = queue_view.draw()
    health = gr.HTML(elem_id="wb-watch-health")
    curves = curves_view.draw()
    with gr.Accordion("Sample answers: before and now", open=False):
        samples = gr.HTML(elem_id="wb-watch-samples")
    with gr.Accordion("Worker log", open=False):
        log = gr.Textbox(
            show_label=False,
            lines=12,
            max_lines=12,
            interactive=False,
            autoscroll=True,
            elem_id="wb-watch-log",
            buttons=["copy"],
        )
    with gr.Accordion("Settings, versions and files of this run", open=False):
        details = gr.HTML()
        actions.follow_ups["branch"].render()
    return WatchTab(run, head, actions, waiting, health, curves, samples, log, details)


def wire(tab: WatchTab, frame: Frame, app: AppState) -> None:
    seen = gr.State(())

    def refresh(run_name: str | None, before: Signature) -> Updates:
        """One tick: everything on the page, or nothing where nothing changed."""
        now = signature(app, run_name)
        return {} if now == before else {**page_of(tab, app, run_name, before), seen: now}

    frame.clock.each_second(refresh, [tab.run, seen], [*tab.changing, seen])
    run_choice.wire(tab.run, frame, app)
    tab.run.change(lambda: (), None, seen, **QUIET)
    run_actions.wire(tab.actions, tab.run, tab.head, app)
    queue_view.wire(tab.queue)
    tab.actions.compare.click(lambda: go_to("compare"), None, frame.tabs, **QUIET)


def signature(app: AppState, run_name: str | None) -> Signature:
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
    return run.name, state, app.read(run).version, log, run.stop_file.exists(), bool(run.environment()), *in_queue


def page_of(tab: WatchTab, app: AppState, run_name: str | None, before: Signature) -> Updates:
    """Updates of the page for a run. before: what it showed until now."""
    run = _find(run_name)
    if run is None:
        return _without_run(tab, app, absent_html(run_name))
    state = training.state_of(run)
    if state == "unreadable":
        return _without_run(tab, app, unreadable_html(run)) | {tab.actions.trash: shown_if(True)}
    reading = app.read(run)
    findings = findings_of(app, run)
    updates = {
        tab.head: join(*notes_html(run), head_html(app, run), *reading_html(reading)),
        tab.health: health_html(findings, run.adjusted_config()) if findings else "",
        tab.log: run.log_tail(),
        tab.details: details_html(run),
        **run_actions.updates(tab.actions, app, run, state, findings),
        **queue_view.updates(tab.queue, app),
    }
    # The charts are the heavy part; they are sent only when there are new rows.
    drawn_before = before[2] if len(before) > 2 and before[0] == run.name else None
    if drawn_before != reading.version:
        updates |= curves_view.updates(tab.curves, run, reading)
        updates[tab.samples] = samples_html(reading.samples)
    return updates


def _without_run(tab: WatchTab, app: AppState, head: Html) -> Updates:
    """The page with a head and the queue, where there is no run to show, or none that can be read."""
    return {
        tab.head: head,
        **hidden_except(tab.actions.buttons, {}),
        **queue_view.updates(tab.queue, app),
        **curves_view.nothing(tab.curves),
        **dict.fromkeys([tab.health, tab.samples, tab.log, tab.details], ""),
    }


def _find(run_name: str | None) -> Run | None:
    if not run_name:
        return None
    try:
        return open_run(run_name)
    except WorkbenchError:
        return None
