"""The curves of a run on the Watch page, two per row."""

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.charts import CHART_IDS, charts, drawn_by
from workbench.jobs.logs import Reading
from workbench.store.runs import Run
from workbench.ui.chart import CHARTS_CLASS, chart, packed
from workbench.ui.updates import Updates

Curves = dict[str, gr.HTML]


def draw() -> Curves:
    with gr.Column(elem_classes=CHARTS_CLASS):
        return {ident: chart(elem_id=f"wb-chart-{ident}") for ident in CHART_IDS}


def updates(view: Curves, run: Run, reading: Reading) -> Updates:
    """All curves of a run, and those hidden that none of its stages has."""
    shown = drawn_by(stages_of(run))
    drawn = charts(reading.log, run.environment().get("plan", {}))
    return {
        view[ident]: gr.update(value=packed(value), visible=ident in shown or "hidden")
        for ident, value in drawn.items()
        if ident in view
    }


def nothing(view: Curves) -> Updates:
    # Not False, which would take the canvas off the page.
    return {one: gr.update(visible="hidden") for one in view.values()}


def stages_of(run: Run) -> tuple[str, ...]:
    try:
        return run.config().stages
    except WorkbenchError:
        return ()
