"""The choice of a run on the Watch page: every run with what it is doing, newest first."""

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.store import choices
from workbench.ui.frame import Frame
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.updates import QUIET, Updates

STATE_LABELS = {
    "queued": "waits in the queue",
    "running": "training",
    "lost": "lost",
    "finished": "finished",
    "stopped": "stopped",
    "paused": "paused",
    "failed": "failed",
    "unreadable": "cannot be read",
}


def draw() -> gr.Dropdown:
    # Runs come and go while the window is open: `last_looked_at` fills it, and chooses one of those that are there then.
    return open_dropdown([], label="Run", elem_id="wb-watch-run", filterable=True, min_width=280)


def wire(run: gr.Dropdown, frame: Frame, app: AppState) -> None:
    listed = gr.State(())

    def list_runs(shown: tuple[tuple[str, str], ...]) -> Updates:
        now = tuple(run_choices(app))
        return {} if now == shown else {run: gr.update(choices=list(now)), listed: now}

    def pick(run_name: str | None) -> None:
        choices.update(run=run_name)

    frame.clock.each_second(list_runs, [listed], [run, listed])
    run.input(pick, run, None, **QUIET)
    frame.opened["watch"].select(lambda: last_looked_at(app), None, run, **QUIET)


def run_choices(app: AppState) -> list[tuple[str, str]]:
    """Every run with what it is doing, newest first."""
    now = app.survey()
    return [(f"{run.name} · {STATE_LABELS[now.states[run.name]]}", run.name) for run in now.runs]


def last_looked_at(app: AppState) -> gr.Dropdown:
    """The runs there are now; shown is the one that was looked at last, or else the newest."""
    known = run_choices(app)
    last = choices.read().run
    names = [name for _, name in known]
    return gr.Dropdown(choices=known, value=last if last in names else next(iter(names), None))
