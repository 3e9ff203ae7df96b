"""The curves of a run on the Watch page, two per row."""

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.charts import charts
from workbench.core.training.config import OF_PAIRS
from workbench.jobs.logs import Reading
from workbench.store.runs import Run
from workbench.ui.chart import CHARTS_CLASS, chart, packed
from workbench.ui.updates import Updates

CHART_IDS = ("sft-loss", "dpo-loss", "kto-loss", "margin", "accuracy", "rewards", "learning-rate", "gradient-norm")

STAGES_OF_CHART = {
    "sft-loss": ("sft",),
    "dpo-loss": OF_PAIRS,
    "kto-loss": ("kto",),
    "margin": (*OF_PAIRS, "kto"),
    "accuracy": OF_PAIRS,
    "rewards": (*OF_PAIRS, "kto"),
}
"""Which stages a chart needs one of; the others are of every stage."""

Curves = dict[str, gr.HTML]


def draw() -> Curves:
    with gr.Column(elem_classes=CHARTS_CLASS):
        return {ident: chart(elem_id=f"wb-chart-{ident}") for ident in CHART_IDS}


def updates(view: Curves, run: Run, reading: Reading) -> Updates:
    """All curves of a run, and those hidden that none of its stages has."""
    stages = stages_of(run)
    drawn = charts(reading.log, run.environment().get("plan", {}))
    return {
        view[ident]: gr.update(value=packed(value), visible=is_drawn(ident, stages) or "hidden")
        for ident, value in drawn.items()
        if ident in view
    }


def nothing(view: Curves) -> Updates:
    # Not False, which would take the canvas off the page.
    return {one: gr.update(visible="hidden") for one in view.values()}


def is_drawn(ident: str, stages: tuple[str, ...]) -> bool:
    """Whether a run with these stages has anything for a chart."""
    return ident not in STAGES_OF_CHART or any(stage in stages for stage in STAGES_OF_CHART[ident])


def stages_of(run: Run) -> tuple[str, ...]:
    try:
        return run.config().stages
    except WorkbenchError:
        return ()
