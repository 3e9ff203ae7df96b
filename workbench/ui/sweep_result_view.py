"""The sweep of the run that the Watch page shows: what each value came to, so far as is known."""

import os
from typing import Any

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.overlay import MOST_RUNS
from workbench.core.monitoring.sweep_result import (
    Point,
    best,
    cost_label,
    drawn,
    figure_label,
    reading,
)
from workbench.core.training.methods import ACCURACY, MARGIN, Result
from workbench.core.training.sweep import Sweep, title_of
from workbench.jobs import sweeps
from workbench.jobs.app_state import AppState
from workbench.store import sweeps as stored
from workbench.store.runs import Run, runs_folder
from workbench.ui.frame import Frame
from workbench.ui.parts import Html, card, table, text
from workbench.ui.run_actions import STATE_LABELS
from workbench.ui.sweep_chart import charts, sweep_chart
from workbench.ui.updates import QUIET, Updates

Signature = tuple[Any, ...]
"""What is shown of a sweep, in so far as it changes; () where nothing is shown."""

MOST_CHARTS = 2


class SweepResult:
    def __init__(self) -> None:
        self.card = gr.HTML(visible="hidden", elem_id="wb-watch-sweep")
        with gr.Row(elem_classes="wb-actions"):
            self.show_best = gr.Button("Show its best run", visible="hidden", elem_id="wb-watch-sweep-best")
            self.draw_all = gr.Button("Draw its runs in each chart", visible="hidden", elem_id="wb-watch-sweep-draw")

    @property
    def _buttons(self) -> tuple[gr.Button, gr.Button]:
        return self.show_best, self.draw_all

    def wire(self, run: gr.Dropdown, beside: gr.Dropdown, frame: Frame, app: AppState) -> None:
        """run: the choice of it. beside: of those that are drawn in the same charts."""
        seen, top = gr.State(()), gr.State(None)

        def refresh(run_name: str | None, before: Signature) -> Updates:
            sweep = stored.of_run(run_name) if run_name else None
            now = (run_name, *signature(app, sweep)) if sweep else ()
            if now == before:
                return {}
            if sweep is None:
                return {seen: ()} | {one: gr.update(visible="hidden") for one in (self.card, *self._buttons)}
            points = sweeps.points(sweep, lambda one: app.read(one).log)
            found = best(points, sweep.setting)
            name = found[1].run if found else None
            return {
                seen: now,
                top: name,
                self.card: gr.HTML(sweep_html(sweep, points), visible=True),
                self.show_best: gr.update(visible=name not in (None, run_name) or "hidden"),
                self.draw_all: gr.update(visible=sum(bool(one.figures) for one in points) > 1 or "hidden"),
            }

        frame.clock.each_second(refresh, [run, seen], [self.card, *self._buttons, seen, top])
        self.draw_all.click(others_of, run, beside, **QUIET)
        self.show_best.click(lambda name: name, top, run, **QUIET)


def others_of(run_name: str | None) -> list[str]:
    """The other runs of the sweep of a run, as many as a chart has room for."""
    sweep = stored.of_run(run_name) if run_name else None
    there = [one.run for one in sweep.ordered if stored.run_of(sweep, one)] if sweep else []
    return [one for one in there if one != run_name][: MOST_RUNS - 1]


def signature(app: AppState, sweep: Sweep) -> Signature:
    """Changes when a run of the sweep ends, begins, goes, or has logged more. Reads no file."""
    states = app.survey().states
    runs = [(one.run, states.get(one.run, "gone")) for one in sweep.members]
    return sweep.id, tuple((state, _size(name) if state != "gone" else 0) for name, state in runs)


def sweep_html(sweep: Sweep, points: list[Point]) -> Html:
    """The charts, what they say together, what the runs shared, and all of it as a table."""
    title, in_nats = title_of(sweep.setting), sweeps.has_several_betas(sweep)
    shown = drawn(points, sweep.setting)
    found = best(points, sweep.setting)
    pieces = [
        sweep_chart(_measure(one, in_nats), points, one, found[1] if found and found[0] == one else None)
        for one in shown[:MOST_CHARTS]
    ]
    columns = [title, *[_column(one, in_nats) for one in shown], "State", "Run"]
    rows = [[one.label, *[_cell(one, result) for result in shown], _state(one), one.run] for one in points]
    words = [reading(points, sweep), _basis(sweep, shown), _shared(sweep)]
    return card(f"Sweep over {title}", charts(pieces), *[text(one) for one in words if one], table(columns, rows))


def _measure(result: Result, in_nats: bool) -> str:
    """ "Held-out reward margin (nats)" """
    unit = " (nats: divided by beta)" if result == MARGIN and in_nats else ""
    return f"Held-out {result.label[0].lower()}{result.label[1:]}{unit}"


def _column(result: Result, in_nats: bool) -> str:
    return f"{result.name[0].upper()}{result.name[1:]}{' (nats)' if result == MARGIN and in_nats else ''}"


def _basis(sweep: Sweep, shown: list[Result]) -> str:
    """What the intervals stand on, and what they do not say."""
    counts = {_held_out(one) for member in sweep.members if (one := stored.run_of(sweep, member))} - {0}
    if not counts or not {ACCURACY, MARGIN} & {*shown}:
        return ""
    most = max(counts)
    return (
        f"Bars are 95 % intervals over up to {most:,} held-out examples, the same for each run. Another seed can move a value further than "
        "that, and the best of several always looks a little better than it is: a report on Compare measures it anew."
    )


def _held_out(run: Run) -> int:
    try:
        return sweeps.held_out_rows(run, run.config())
    except WorkbenchError:
        return 0


def _shared(sweep: Sweep) -> str:
    saved = sweeps.shared_reference(sweep)
    if saved is None:
        return ""
    others = "the other one read" if saved.readers == 1 else f"the other {saved.readers} read"
    return (
        f"The reference is shared: {saved.run} asked it for {saved.answers:,} answers, which took {cost_label(saved.seconds)}; {others} "
        f"what it said, {cost_label(saved.readers * saved.seconds)} less in all."
    )


def _state(point: Point) -> str:
    if point.state == "gone":
        return "gone: deleted, or never made"
    words = STATE_LABELS.get(point.state, point.state)
    return f"{words}, step {point.step:,} of {point.steps:,}" if point.state == "running" and point.steps else words


def _cell(point: Point, result: Result) -> str:
    return figure_label(result, point.figures[result]) if result in point.figures else "–"


def _size(name: str) -> int:
    try:
        return os.path.getsize(Run(runs_folder() / name).metrics_file)
    except OSError:
        return 0
