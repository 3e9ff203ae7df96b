"""Which run the Watch page shows, and what can be done with it: the buttons that its state offers."""

from collections.abc import Callable, Sequence

import gradio as gr

from workbench.core.monitoring.health import RunFinding, suggestion
from workbench.core.monitoring.run_list import run_label
from workbench.core.training.methods import stage_title
from workbench.core.training.run_state import CAN_RESUME, State
from workbench.jobs import queue, result_step, training
from workbench.jobs.app_state import AppState
from workbench.jobs.proposals import FollowUp, better_fork, suggested
from workbench.store import choices
from workbench.store.best import best_of, step_of_result
from workbench.store.forks import forks_of
from workbench.store.runs import Run, open_run
from workbench.ui import who_may
from workbench.ui.frame import Frame
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import Html, notice
from workbench.ui.updates import QUIET, Updates, hidden_except, shown_if

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


# Each tab of the browser remembers it, because two of them may compare different runs. Before it was read, the page has none.
_SHOWN_BESIDE = """(chosen) => {
    if (window.wbBesideIsBack) return [chosen];
    window.wbBesideIsBack = true;
    try {
        return [JSON.parse(sessionStorage.getItem('wb-beside')) ?? chosen];
    } catch {
        return [chosen];
    }
}"""
_REMEMBER_BESIDE = """(chosen) => {
    if (window.wbBesideIsBack) sessionStorage.setItem('wb-beside', JSON.stringify(chosen ?? []));
}"""


class RunActions:
    """follow_ups: the buttons that propose another run; "branch" is rendered beside the run's details."""

    def __init__(self) -> None:
        self.follow_ups: dict[FollowUp, gr.Button] = {}
        with gr.Row(elem_classes="wb-actions"):
            self.stop = _button("Stop and save", "stop", "stop")
            self.pause = _button("Pause", "pause")
            self.resume = _button("Resume", "resume", "primary")
            self.front = _button("Run next", "front")
            self.remove = _button("Remove from queue", "remove")
            self.best = _button("Use the best step instead", "best")
            self.last = _button("Use the last step again", "last")
            self.follow_ups["again"] = _button("Run again with the same settings", "again")
            self.follow_ups["better"] = _button("A new run with the suggested change", "better")
            self.follow_ups["better-from"] = _button("The suggested change, from a checkpoint", "better-from")
            self.follow_ups["more"] = _button("Two more epochs", "more")
            self.follow_ups["against"] = _button("Train against it →", "against", "primary")
            self.compare = _button("Compare base and aligned →", "compare", "primary")
            self.trash = _button("Move to the trash", "trash")
        self.follow_ups["branch"] = _button("New run from a checkpoint", "branch", render=False)

    @property
    def buttons(self) -> list[gr.Button]:
        return [
            self.stop, self.pause, self.resume, self.front, self.remove, self.best, self.last, self.compare, self.trash,
            *self.follow_ups.values(),
        ]  # fmt: skip

    def wire(self, run: gr.Dropdown, head: gr.HTML, app: AppState) -> None:
        """run: the choice of it. head: says what was done."""

        def told(act: Callable[[str], str]) -> Callable[[str], Html]:
            def do(run_name: str) -> Html:
                return notice("info", act(run_name))

            return do

        def gone(act: Callable[[str], str]) -> Callable[[str], gr.Dropdown]:
            """After it the run is not there any more, and another one is shown."""

            def do(run_name: str) -> gr.Dropdown:
                gr.Info(act(run_name))
                app.look_again()
                return last_looked_at(app)

            return do

        def resume(run_name: str) -> str:
            app.resume(open_run(run_name))
            return f"{run_name} goes on"

        self.stop.click(told(lambda name: training.stop(open_run(name))), run, head, api_name="stop", **QUIET)
        self.pause.click(told(lambda name: training.pause(open_run(name))), run, head, api_name="pause", **QUIET)
        self.resume.click(told(resume), run, head, api_name="resume", **QUIET)
        self.best.click(told(result_step.use_best), run, head, api_name="best", **QUIET)
        self.last.click(told(result_step.use_last), run, head, api_name="last", **QUIET)
        self.front.click(told(queue.to_front), run, head, api_name="front", **QUIET)
        self.remove.click(gone(queue.remove), run, run, api_name="remove", **QUIET)
        self.trash.click(gone(lambda name: training.move_to_trash(open_run(name))), run, run, api_name="trash", **QUIET)

    def updates(self, app: AppState, run: Run, state: State, findings: Sequence[RunFinding]) -> Updates:
        """The buttons of a run that can be read."""
        running, waits, stopping = state == "running", state == "queued", run.stop_file.exists()
        start_again, branch = better_fork(run, findings), next(iter(forks_of(run)), None)
        # One button leads on: the suggested change where the run went wrong, else to go on or to compare.
        finding = suggested(findings)
        went_wrong = finding is not None and any(one.severity == "blocker" for one in findings)
        shown = {
            self.stop: gr.update(value="End at once" if stopping else "Stop and save", visible=running),
            self.pause: shown_if(running and not stopping),
            self.resume: gr.update(visible=state in CAN_RESUME, variant="secondary" if went_wrong else "primary"),
            self.front: shown_if(waits and app.survey().waiting[:1] != (run,)),
            self.remove: shown_if(waits),
            self.last: shown_if(state in result_step.ENDED and step_of_result(run) is not None),
            self.compare: gr.update(
                visible=run.has_adapter and not run.is_reward, variant="secondary" if went_wrong else "primary"
            ),
            self.follow_ups["against"]: shown_if(run.has_adapter and run.is_reward),
            self.follow_ups["again"]: shown_if(not running and not waits),
            self.follow_ups["better"]: gr.update(
                value=suggestion(finding, run.adjusted_config()) if finding else "",
                visible=finding is not None,
                variant="primary" if went_wrong else "secondary",
            ),
            self.follow_ups["more"]: shown_if(state == "finished" and run.has_adapter and not run.is_reward),
        }
        if result_step.is_offered(run, state) and (found := best_of(run)):
            shown[self.best] = gr.update(value=f"Use step {found[0].step:,} instead", visible=True)
        if start_again:
            words = f"The suggested change, from step {start_again.step:,}"
            shown[self.follow_ups["better-from"]] = gr.update(value=words, visible=True)
        if branch:
            words = f"New run from step {branch.step:,} of {stage_title(branch.stage)}"
            shown[self.follow_ups["branch"]] = gr.update(value=words, visible=True)
        return hidden_except(self.buttons, shown)


def _button(words: str, name: str, variant: str = "secondary", render: bool = True) -> gr.Button:
    return gr.Button(words, variant=variant, visible=False, elem_id=f"wb-watch-{name}", render=render)


def draw_choice() -> gr.Dropdown:
    """Every run with what it is doing, newest first."""
    # Runs come and go while the window is open: `last_looked_at` fills it, and chooses one of those that are there then.
    return open_dropdown([], label="Run", elem_id="wb-watch-run", filterable=True, min_width=280)


def wire_choice(run: gr.Dropdown, beside: gr.Dropdown, frame: Frame, app: AppState) -> None:
    """beside: the choice of more runs, which is offered the same ones."""
    listed, opened = gr.State(()), gr.State(False)

    def list_runs(run_name: str | None, shown: tuple[tuple[str, str], ...], is_open: bool) -> Updates:
        now = tuple(run_choices(app))
        offered = gr.update(choices=list(now))
        changed: Updates = {} if now == shown else {run: offered, beside: offered, listed: now}
        # Where the choice was sent while the page was being drawn, and this list as well, Gradio 6.31 can lose the choice.
        is_lost = is_open and not run_name and bool(now)
        return changed | {run: last_looked_at(app)} if is_lost else changed

    @who_may.for_visitors
    def last_shown(kept: list[str] | None) -> Updates:
        """kept: the runs that this tab of the browser showed beside it."""
        known = run_choices(app)
        there = {name for _, name in known}
        beside_it = [name for name in kept or () if name in there]
        return {run: last_looked_at(app), beside: gr.update(choices=known, value=beside_it), opened: True}

    @who_may.for_visitors
    def look_at_run(run_name: str | None, request: gr.Request) -> None:
        """A visitor of a Space looks at a run without choosing it for the owner."""
        if who_may.is_owner(who_may.scope_of(request)):
            choices.update(run=run_name)

    frame.clock.each_second(list_runs, [run, listed, opened], [run, beside, listed])
    run.input(look_at_run, run, None, **QUIET)
    frame.opened["watch"].select(last_shown, beside, [run, beside, opened], js=_SHOWN_BESIDE, **QUIET)
    beside.change(None, beside, None, js=_REMEMBER_BESIDE)


def run_choices(app: AppState) -> list[tuple[str, str]]:
    """Every run with what it is doing, newest first."""
    now = app.survey()
    return [
        (f"{run_label(run.name, now.titles.get(run.name, ''))} · {STATE_LABELS[now.states[run.name]]}", run.name)
        for run in now.runs
    ]


def last_looked_at(app: AppState) -> gr.Dropdown:
    """The runs there are now; shown is the one that was looked at last, or else the newest."""
    known = run_choices(app)
    last = choices.read().run
    names = [name for _, name in known]
    return gr.Dropdown(choices=known, value=last if last in names else next(iter(names), None))
